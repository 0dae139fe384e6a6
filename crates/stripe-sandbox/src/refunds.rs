//! Refunds: never more than was captured, settled at once or later as the card decides.

use std::time::Duration;

use crate::{
    cards::{self, RefundOutcome},
    error::{ApiError, Refused},
    objects::{Charge, Intent, PaymentMethod, Refund},
    params::Params,
    session::{CHARGE, INTENT, PAYMENT_METHOD, REFUND, SETTLE, Session, encode},
    store,
};

/// How long a card that settles late takes.
const SETTLE_AFTER: Duration = Duration::from_secs(1);

/// `POST /v1/refunds`
pub(crate) async fn create(s: &mut Session<'_>, p: &Params) -> Result<String, Refused> {
    p.allow(&["payment_intent", "charge", "amount", "reason", "metadata", "instructions_email"])?;
    let wanted = p.integer("amount")?;
    let reasons = ["duplicate", "fraudulent", "requested_by_customer"];
    let reason = p.one_of("reason", &reasons)?.map(str::to_owned);
    if wanted.is_some_and(|amount| amount < 1) {
        let text = "This value must be greater than or equal to 1.".to_owned();
        return Err(ApiError::parameter("parameter_invalid_integer", "amount", text).into());
    }
    let mut charge = refundable(s, p).await?;
    let remaining = charge.amount_captured - charge.amount_refunded;
    if remaining == 0 {
        let text = format!("Charge {} has already been refunded.", charge.id);
        return Err(ApiError::refused("charge_already_refunded", text).into());
    }
    let amount = wanted.unwrap_or(remaining);
    if amount > remaining {
        let text = format!(
            "Refund amount ({amount}) is greater than unrefunded amount on charge ({remaining})"
        );
        return Err(ApiError::refused("amount_too_large", text).with("param", "amount").into());
    }
    let method: PaymentMethod = s.load(PAYMENT_METHOD, &charge.payment_method).await?;
    let card = cards::by_token(&method.sandbox_card);
    let outcome = card.map_or(RefundOutcome::Succeed, |card| card.refund);
    let pending = outcome == RefundOutcome::SucceedLater;
    let refund = Refund {
        id: s.id("re_"),
        object: REFUND.into(),
        amount,
        charge: charge.id.clone(),
        created: s.now.seconds(),
        currency: charge.currency.clone(),
        failure_reason: None,
        metadata: p.map("metadata"),
        payment_intent: charge.payment_intent.clone(),
        reason,
        status: if pending { "pending" } else { "succeeded" }.into(),
    };
    charge.amount_refunded += amount;
    charge.refunded = charge.amount_refunded == charge.amount_captured;
    s.insert(REFUND, &refund.id, &refund.payment_intent, &refund)?;
    s.save(CHARGE, &charge.id, &charge)?;
    s.emit("refund.created", &refund.id)?;
    s.emit("charge.refunded", &charge.id)?;
    if outcome != RefundOutcome::Succeed {
        let at = s.now.plus(SETTLE_AFTER);
        store::insert_due(s.tx, SETTLE, vec![refund.id.clone()], at).await?;
    }
    Ok(encode(REFUND, &refund)?)
}

/// The bank's answer to a refund that did not settle at once.
pub(crate) async fn settle(s: &mut Session<'_>, id: &str) -> Result<(), Refused> {
    let mut refund: Refund = s.load(REFUND, id).await?;
    let failed = match refund.status.as_str() {
        "pending" => false,
        "succeeded" => true,
        _ => return Ok(()),
    };
    if failed {
        refund.status = "failed".into();
        refund.failure_reason = Some("expired_or_canceled_card".into());
        let mut charge: Charge = s.load(CHARGE, &refund.charge).await?;
        charge.amount_refunded -= refund.amount;
        charge.refunded = false;
        s.save(CHARGE, &charge.id, &charge)?;
    } else {
        refund.status = "succeeded".into();
    }
    s.save(REFUND, id, &refund)?;
    s.emit("refund.updated", &refund.id)?;
    if failed {
        s.emit("refund.failed", &refund.id)?;
    }
    s.emit("charge.refund.updated", &refund.id)?;
    Ok(())
}

/// The charge that a refund names, by itself or by its intent.
async fn refundable(s: &mut Session<'_>, p: &Params) -> Result<Charge, Refused> {
    let id = match (p.get("charge"), p.get("payment_intent")) {
        (Some(charge), _) => charge.to_owned(),
        (None, Some(intent)) => {
            let intent: Intent = s.load(INTENT, intent).await?;
            intent.latest_charge.unwrap_or_default()
        }
        (None, None) => return Err(ApiError::missing("payment_intent").into()),
    };
    if !id.is_empty() {
        let charge: Charge = s.load(CHARGE, &id).await?;
        if charge.captured {
            return Ok(charge);
        }
    }
    let text = "This PaymentIntent does not have a successful charge to refund.".to_owned();
    Err(ApiError::unexpected_state(text).into())
}
