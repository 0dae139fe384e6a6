//! `process_webhook`: believes only what is signed, takes each event once, never lets an older one
//! win, and commits all that it leads to in one transaction: together with its neighbours where it
//! is about an intent, by itself where it is about a refund.

use std::sync::Arc;

use db::Tx;
use kernel::{Code, Failure, PaymentId, RefundId, Timestamp};
use tracing::{debug, error, warn};

use super::{
    batch::{Request, Told},
    settle_refund::{Verdict, take_in_refund},
};
use crate::{
    app::App,
    domain::{Change, Refund, RefundState},
    ledger::{Desk, Ledger},
    store::{self, Noted},
    stripe::{self, EventHead},
};

/// The longest webhook, in bytes.
pub(crate) const MAX_BODY: usize = 256 * 1_024;

/// What came of an event: in a word, and the change.
type Outcome = (&'static str, Option<Change>);

/// Takes a webhook as it was sent; whether it was new.
pub(crate) async fn process_webhook(
    app: &Arc<App>,
    signature: &str,
    body: &[u8],
) -> Result<bool, Failure> {
    if body.len() > MAX_BODY {
        return Err(Failure::invalid("body", format!("at most {MAX_BODY} bytes")));
    }
    let now = app.now();
    if let Err(error) = stripe::verify(&app.webhook_secret, signature, body, now) {
        app.metrics.webhook("refused");
        warn!(%error, "webhook refused");
        return Err(Failure::new(Code::Invalid, "INVALID_SIGNATURE", error.to_string()));
    }
    let unreadable = |detail: String| Failure::invalid("body", format!("not an event: {detail}"));
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    let event: EventHead =
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let (id, kind) = (event.id.clone(), event.kind.clone());
    let outcome = if kind.starts_with("payment_intent.") {
        match stripe::subject(text) {
            Some(intent) => {
                let body = stripe::without_secrets(text);
                let told = Box::new(Told { event, intent, body, now });
                app.write(Request::Told(told)).await?.outcome
            }
            None => "ignored",
        }
    } else if kind.starts_with("refund.") || kind == "charge.refund.updated" {
        match stripe::subject(text) {
            Some(seen) => {
                let body = stripe::without_secrets(text);
                about_refund(app, RefundNews { event, seen, body, now }).await?
            }
            None => "ignored",
        }
    } else {
        "ignored"
    };
    app.metrics.webhook(outcome);
    debug!(event = %id, %kind, outcome, "webhook");
    Ok(!matches!(outcome, "duplicate" | "ignored"))
}

/// An event about a refund.
struct RefundNews {
    event: EventHead,
    seen: stripe::Refund,
    /// The event as JSON, without secrets.
    body: String,
    now: Timestamp,
}

async fn about_refund(app: &Arc<App>, news: RefundNews) -> Result<&'static str, Failure> {
    let shared = Arc::new((app.desk.clone(), news));
    let written = app.db.write(move |tx| {
        let shared = shared.clone();
        Box::pin(async move {
            let (desk, news) = &*shared;
            news.take_in(tx, desk).await
        })
    });
    let (outcome, change) = written.await?;
    app.announce(change.as_ref());
    Ok(outcome)
}

impl RefundNews {
    async fn take_in(&self, tx: &mut Tx, desk: &Desk) -> Result<Outcome, Failure> {
        let seen = &self.seen;
        let known = match store::refund_by_reference(tx, &seen.id).await? {
            Some(refund) => Some(refund),
            None => match seen.metadata.get("refund_id").and_then(|id| id.parse().ok()) {
                Some(id) => store::refund(tx, id).await?,
                None => None,
            },
        };
        let payment = match (&known, &seen.payment_intent) {
            (Some(refund), _) => Some(refund.payment),
            (None, Some(intent)) => {
                store::by_references(tx, std::iter::once(intent.as_str())).await?.remove(intent)
            }
            (None, None) => None,
        };
        let mut ledger = Ledger::new(desk);
        ledger.lock(tx, payment.into_iter().collect()).await?;
        let noted = Noted { event: &self.event, payment, body: &self.body, now: self.now };
        if store::insert_events(tx, vec![noted]).await?.is_empty() {
            return Ok(("duplicate", None));
        }
        // What was read before the lock may have changed since.
        let refund = match (known, payment) {
            (Some(refund), _) => store::refund(tx, refund.id).await?,
            (None, Some(payment)) => self.adopt(tx, &mut ledger, payment).await?,
            (None, None) => None,
        };
        let Some(mut refund) = refund else { return Ok(("unknown", None)) };
        let verdict = Verdict { state: seen.state(), reference: Some(seen.id.clone()) };
        let taken = take_in_refund(tx, &mut ledger, &mut refund, (&verdict, self.now));
        let change = taken.await?;
        ledger.write(tx).await?;
        Ok((if change.is_some() { "applied" } else { "known" }, change))
    }

    /// Takes up a refund that was made at the provider and not by us, so that our figures stay
    /// true.
    async fn adopt(
        &self,
        tx: &mut Tx,
        ledger: &mut Ledger<'_>,
        payment: PaymentId,
    ) -> Result<Option<Refund>, Failure> {
        let (seen, now) = (&self.seen, self.now);
        if seen.amount < 1 || !store::reserve_refund(tx, payment, seen.amount, now).await? {
            error!(%payment, refund = %seen.id, amount_minor = seen.amount,
                "a refund at the provider exceeds what is left here");
            return Ok(None);
        }
        ledger.payment(payment)?.pending_refund_minor += seen.amount;
        let refund = Refund {
            id: RefundId::new(&*ledger.desk.ids, now),
            payment,
            amount_minor: seen.amount,
            state: RefundState::Pending,
            reason: "made at the provider".to_owned(),
            provider_reference: Some(seen.id.clone()),
            idempotency_key: None,
            attempts: 0,
            created_at: now,
            updated_at: now,
        };
        let again = ledger.desk.patience.next(now, 0);
        store::insert_refund(tx, &refund, Some(again)).await?;
        Ok(Some(refund))
    }
}
