//! `process_webhook`: believes only what is signed, takes each event once, never lets an older one
//! win, and commits all that it leads to in one transaction.

use std::sync::Arc;

use db::Tx;
use kernel::{Code, Failure, PaymentId, RefundId, Timestamp};
use serde_json::Value;
use tracing::{error, info, warn};

use super::{
    observe::{done, take_in},
    settle_refund::{Verdict, take_in_refund},
};
use crate::{
    app::App,
    domain::{Change, Payment, Refund, RefundState},
    store,
    stripe::{self, Event, Intent},
};

/// The longest webhook, in bytes.
pub(crate) const MAX_BODY: usize = 256 * 1_024;

/// What an event is about.
enum Subject {
    Intent(Intent),
    Refund(stripe::Refund),
}

/// What came of an event.
struct Outcome {
    name: &'static str,
    change: Option<Change>,
}

impl Outcome {
    const fn nothing(name: &'static str) -> Self {
        Self { name, change: None }
    }
}

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
    let unreadable = |error| Failure::invalid("body", format!("not an event: {error}"));
    let content: Value = serde_json::from_slice(body).map_err(unreadable)?;
    let event: Event = serde_json::from_value(content.clone()).map_err(unreadable)?;
    let Some(subject) = subject(&event) else {
        app.metrics.webhook("ignored");
        info!(event = %event.id, kind = %event.kind, "webhook of a kind that means nothing here");
        return Ok(false);
    };
    let (id, kind) = (event.id.clone(), event.kind.clone());
    let shared = Arc::new((app.clone(), event, subject, stripe::without_secrets(content)));
    let written = app.db.write(move |tx| {
        let shared = shared.clone();
        Box::pin(async move {
            let (app, event, subject, content) = &*shared;
            let noted = Noted { app, event, content, now };
            match subject {
                Subject::Intent(intent) => noted.intent(tx, intent).await,
                Subject::Refund(refund) => noted.refund(tx, refund).await,
            }
        })
    });
    let outcome = written.await?;
    done(app, outcome.change.as_ref());
    app.metrics.webhook(outcome.name);
    info!(event = %id, %kind, outcome = outcome.name, "webhook");
    Ok(outcome.name != "duplicate")
}

/// What the event is about, if that concerns us.
fn subject(event: &Event) -> Option<Subject> {
    let object = event.data.object.clone();
    if event.kind.starts_with("payment_intent.") {
        return serde_json::from_value(object).ok().map(Subject::Intent);
    }
    if event.kind.starts_with("refund.") || event.kind == "charge.refund.updated" {
        return serde_json::from_value(object).ok().map(Subject::Refund);
    }
    None
}

/// An event on its way into the database.
struct Noted<'a> {
    app: &'a Arc<App>,
    event: &'a Event,
    content: &'a Value,
    now: Timestamp,
}

impl Noted<'_> {
    async fn first_time(&self, tx: &mut Tx, payment: Option<PaymentId>) -> Result<bool, db::Error> {
        store::insert_event(tx, self.event, payment, self.content, self.now).await
    }

    async fn intent(&self, tx: &mut Tx, intent: &Intent) -> Result<Outcome, Failure> {
        let payment = payment_of(tx, intent).await?;
        if !self.first_time(tx, payment.as_ref().map(|payment| payment.id)).await? {
            return Ok(Outcome::nothing("duplicate"));
        }
        let Some(mut payment) = payment else { return Ok(Outcome::nothing("unknown")) };
        if self.event.created < payment.provider_event_s {
            return Ok(Outcome::nothing("outdated"));
        }
        payment.provider_event_s = self.event.created;
        let cause = format!("{} {}", self.event.kind, self.event.id);
        let change = take_in(tx, self.app, &mut payment, intent, (&cause, self.now)).await?;
        let name = if change.is_some() { "applied" } else { "known" };
        Ok(Outcome { name, change })
    }

    async fn refund(&self, tx: &mut Tx, seen: &stripe::Refund) -> Result<Outcome, Failure> {
        let known = match store::refund_by_reference(tx, &seen.id).await? {
            Some(refund) => Some(refund),
            None => match seen.metadata.get("refund_id").and_then(|id| id.parse().ok()) {
                Some(id) => store::refund(tx, id).await?,
                None => None,
            },
        };
        let payment = match (&known, &seen.payment_intent) {
            (Some(refund), _) => store::lock(tx, refund.payment).await?,
            (None, Some(intent)) => store::lock_by_reference(tx, intent).await?,
            (None, None) => None,
        };
        if !self.first_time(tx, payment.as_ref().map(|payment| payment.id)).await? {
            return Ok(Outcome::nothing("duplicate"));
        }
        let Some(mut payment) = payment else { return Ok(Outcome::nothing("unknown")) };
        // What was read before the lock may have changed since.
        let refund = match known {
            Some(refund) => store::refund(tx, refund.id).await?,
            None => self.adopt(tx, &mut payment, seen).await?,
        };
        let Some(mut refund) = refund else { return Ok(Outcome::nothing("unknown")) };
        let verdict = Verdict { state: seen.state(), reference: Some(seen.id.clone()) };
        let taken = take_in_refund(tx, self.app, &mut payment, &mut refund, (&verdict, self.now));
        let change = taken.await?;
        let name = if change.is_some() { "applied" } else { "known" };
        Ok(Outcome { name, change })
    }

    /// Takes up a refund that was made at the provider and not by us, so that our figures stay
    /// true.
    async fn adopt(
        &self,
        tx: &mut Tx,
        payment: &mut Payment,
        seen: &stripe::Refund,
    ) -> Result<Option<Refund>, Failure> {
        let now = self.now;
        if seen.amount < 1 || !store::reserve_refund(tx, payment.id, seen.amount, now).await? {
            error!(payment = %payment.id, refund = %seen.id, amount_minor = seen.amount,
                "a refund at the provider exceeds what is left here");
            return Ok(None);
        }
        payment.pending_refund_minor += seen.amount;
        let refund = Refund {
            id: RefundId::new(&*self.app.ids, now),
            payment: payment.id,
            amount_minor: seen.amount,
            state: RefundState::Pending,
            reason: "made at the provider".to_owned(),
            provider_reference: Some(seen.id.clone()),
            idempotency_key: None,
            attempts: 0,
            created_at: now,
            updated_at: now,
        };
        let again = self.app.patience.next(now, 0);
        store::insert_refund(tx, &refund, Some(again)).await?;
        Ok(Some(refund))
    }
}

/// The payment that an intent belongs to, locked. An event may be faster than the answer that tells
/// us the intent's id.
async fn payment_of(tx: &mut Tx, intent: &Intent) -> Result<Option<Payment>, Failure> {
    if let Some(payment) = store::lock_by_reference(tx, &intent.id).await? {
        return Ok(Some(payment));
    }
    let Some(id) = intent.metadata.get("payment_id").and_then(|id| id.parse().ok()) else {
        return Ok(None);
    };
    let payment = store::lock(tx, id).await?;
    // The answer may have been taken in while this waited for the lock.
    Ok(payment.filter(|its| its.provider_reference.as_ref().is_none_or(|own| *own == intent.id)))
}
