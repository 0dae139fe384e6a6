//! `refund_payment`: sets the money aside under the caller's key, then has the provider give it
//! back; whoever finds the refund pending finishes it.
//!
//! The provider's key comes from the refund's row, and another is used only where the provider
//! itself says that the one before is spent, and lists no refund of it. So any number of replicas,
//! also one that was stopped for hours in the middle, come to the same key, and the money goes back
//! once.

use std::sync::Arc;

use db::Tx;
use kernel::{Code, Currency, Failure, PaymentId, RefundId, Timestamp};
use platform::idempotency::{self, Outcome};
use serde_json::json;
use wire::Context;

use super::{
    observe::{find, keep, reference},
    settle_refund::{Verdict, settle_refund},
};
use crate::{
    app::{App, may_move_money},
    domain::{Payment, Refund, RefundState},
    store::{self, Entry},
    stripe::{self, NewRefund},
};

/// The longest reason, in bytes.
const MAX_REASON: usize = 500;
/// The most keys of one refund.
const MAX_KEYS: u32 = 32;
/// Whose keys these are.
const SCOPE: &str = "refund_payment";

/// What is to go back.
#[derive(Debug, Clone)]
pub(crate) struct RefundPayment {
    pub(crate) payment: PaymentId,
    pub(crate) amount_minor: i64,
    pub(crate) reason: String,
    pub(crate) idempotency_key: String,
}

/// Gives money back, once for each key; the refund and its currency.
pub(crate) async fn refund_payment(
    app: &Arc<App>,
    context: &Context,
    command: RefundPayment,
) -> Result<(Refund, Currency), Failure> {
    may_move_money(&context.caller)?;
    if command.amount_minor < 1 {
        return Err(Failure::invalid("amount_minor", "must be at least 1"));
    }
    if command.reason.is_empty() || command.reason.len() > MAX_REASON {
        return Err(Failure::invalid("reason", format!("must have 1 to {MAX_REASON} bytes")));
    }
    let now = app.now();
    let shared = Arc::new((app.clone(), command));
    let written = app.db.write(move |tx| {
        let shared = shared.clone();
        Box::pin(async move { begin(tx, &shared.0, &shared.1, now).await })
    });
    let (payment, refund) = written.await?;
    let currency = payment.amount.currency;
    if refund.state != RefundState::Pending {
        return Ok((refund, currency));
    }
    Ok((finish_refund(app, &payment, refund).await?, currency))
}

/// Sets the money aside and remembers the key, or finds what the key stands for.
async fn begin(
    tx: &mut Tx,
    app: &App,
    command: &RefundPayment,
    now: Timestamp,
) -> Result<(Payment, Refund), Failure> {
    let (id, minor) = (command.payment, command.amount_minor);
    let fingerprint = format!("{id} {minor} {}", command.reason);
    let (key, print) = (&command.idempotency_key, fingerprint.as_bytes());
    match idempotency::check(tx, SCOPE, key, print, now).await? {
        Outcome::New => {}
        Outcome::Replay(answer) => return replay(tx, &answer).await,
        // The key and its answer are written in one transaction.
        Outcome::Unanswered => return Err(Failure::internal("a key of a refund has no answer")),
    }
    let payment = payment(tx, id).await?;
    if !payment.state.is_captured() {
        let detail = "only captured money can be refunded";
        return Err(Failure::new(Code::Conflict, "PAYMENT_NOT_CAPTURED", detail));
    }
    if !store::reserve_refund(tx, id, minor, now).await? {
        let detail = "more than what is left of the captured money";
        let left = payment.refundable_minor();
        return Err(Failure::new(Code::Conflict, "REFUND_EXCEEDS_CAPTURED", detail)
            .with("refundable_minor", left));
    }
    let refund = Refund {
        id: RefundId::new(&*app.desk.ids, now),
        payment: id,
        amount_minor: minor,
        state: RefundState::Pending,
        reason: command.reason.clone(),
        provider_reference: None,
        idempotency_key: Some(key.clone()),
        attempts: 0,
        created_at: now,
        updated_at: now,
    };
    store::insert_refund(tx, &refund, Some(now.plus(app.desk.patience.lease))).await?;
    let answer = json!({ "refund_id": refund.id.to_string() });
    idempotency::answer(tx, SCOPE, key, &answer).await?;
    Ok((payment, refund))
}

async fn replay(tx: &mut Tx, answer: &serde_json::Value) -> Result<(Payment, Refund), Failure> {
    let id = answer.get("refund_id").and_then(serde_json::Value::as_str).unwrap_or_default();
    let id: RefundId = id.parse().map_err(Failure::internal)?;
    let refund = store::refund(tx, id).await?.ok_or_else(|| Failure::not_found("refund"))?;
    Ok((payment(tx, refund.payment).await?, refund))
}

async fn payment(tx: &mut Tx, id: PaymentId) -> Result<Payment, Failure> {
    let found = store::payments(tx, std::iter::once(id)).await?.pop();
    found.ok_or_else(|| Failure::not_found("payment"))
}

/// Has the provider give the money back, or asks it how far it is. A provider that is away leaves
/// the refund pending: it is durable, and will be finished.
pub(crate) async fn finish_refund(
    app: &Arc<App>,
    payment: &Payment,
    refund: Refund,
) -> Result<Refund, Failure> {
    let (result, entry) = ask(app, payment, &refund).await?;
    let verdict = match result {
        Ok(Some(found)) => Verdict { state: found.state(), reference: Some(found.id) },
        Err(stripe::Error::Refused { .. } | stripe::Error::Card { .. })
            if refund.provider_reference.is_none() =>
        {
            Verdict { state: RefundState::Failed, reference: None }
        }
        Ok(None) | Err(_) => {
            keep(app, entry).await?;
            return Ok(refund);
        }
    };
    settle_refund(app, &refund, verdict, entry).await
}

/// The calls that bring the refund forward.
async fn ask(
    app: &Arc<App>,
    payment: &Payment,
    refund: &Refund,
) -> Result<(Result<Option<stripe::Refund>, stripe::Error>, Entry), Failure> {
    let correlation = &payment.correlation_id;
    if let Some(reference) = &refund.provider_reference {
        let called = app.stripe.retrieve_refund(reference).await;
        let (result, entry) = app.heard(payment.id, correlation, called);
        return Ok((result.map(Some), entry));
    }
    let intent = reference(payment)?;
    let new = NewRefund { intent, refund: refund.id, amount_minor: refund.amount_minor };
    // A try before may have taken effect without our hearing of it; keys are forgotten in time.
    let mut look = refund.attempts > 0;
    let mut number = 1;
    loop {
        if look {
            let (found, entry) = find_made(app, payment, (intent, refund)).await;
            if !matches!(found, Ok(None)) {
                return Ok((found, entry));
            }
            keep(app, entry).await?;
        }
        let called = app.stripe.create_refund(&new, provider_key(refund.id, number)).await;
        let (result, entry) = app.heard(payment.id, correlation, called);
        if number == MAX_KEYS || !matches!(result, Err(stripe::Error::Spent(_))) {
            return Ok((result.map(Some), entry));
        }
        keep(app, entry).await?;
        number += 1;
        look = true;
    }
}

/// The provider's refund that was made for ours, if there is one.
async fn find_made(
    app: &App,
    payment: &Payment,
    (intent, refund): (&str, &Refund),
) -> (Result<Option<stripe::Refund>, stripe::Error>, Entry) {
    let called = app.stripe.list_refunds(intent).await;
    let (result, entry) = app.heard(payment.id, &payment.correlation_id, called);
    let name = refund.id.to_string();
    let ours = |made: &stripe::Refund| made.metadata.get("refund_id") == Some(&name);
    (result.map(|list| list.data.into_iter().find(ours)), entry)
}

pub(crate) fn provider_key(refund: RefundId, number: u32) -> String {
    match number {
        1 => format!("refund-{refund}"),
        further => format!("refund-{refund}-{further}"),
    }
}

/// The refund and its payment, by the refund's id.
pub(crate) async fn payment_of(app: &App, refund: &Refund) -> Result<Payment, Failure> {
    find(app, refund.payment).await
}
