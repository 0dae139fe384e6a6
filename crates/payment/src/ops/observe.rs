//! Takes in how the provider's intent stands: state, history and event in one transaction, beside
//! the log of the call.

use std::sync::Arc;

use kernel::{Code, Failure, PaymentId, Timestamp};

use super::batch::{Heard, News, Request};
use crate::{
    app::{App, provider_failure},
    domain::{Change, Payment, State},
    events,
    ledger::{Ledger, Step},
    store::{self, Entry},
    stripe::{self, Intent},
};

pub(crate) async fn find(app: &App, id: PaymentId) -> Result<Payment, Failure> {
    let found = app.db.read(move |tx| {
        Box::pin(async move { Ok(store::payments(tx, std::iter::once(id)).await?.pop()) })
    });
    let found: Result<Option<Payment>, db::Error> = found.await;
    found?.ok_or_else(|| Failure::not_found("payment"))
}

/// Takes in the intent that a call of ours was answered with.
pub(crate) async fn observe(
    app: &Arc<App>,
    payment: PaymentId,
    intent: Intent,
    entry: Entry,
    cause: &str,
) -> Result<Payment, Failure> {
    let (news, entry, cause) = (News::Intent(intent), Some(entry), cause.to_owned());
    let heard = Heard { payment, news, entry, cause, now: app.now() };
    app.write(Request::Heard(Box::new(heard))).await?.payment()
}

/// Takes in an intent, in a transaction that holds `payment`'s lock.
pub(crate) fn take_in(
    ledger: &mut Ledger<'_>,
    mut payment: Payment,
    intent: &Intent,
    (cause, now): (&str, Timestamp),
) -> Result<Option<Change>, Failure> {
    let from = payment.state;
    let new = payment.provider_reference.is_none();
    if new {
        payment.provider_reference = Some(intent.id.clone());
        payment.client_secret.clone_from(&intent.client_secret);
    }
    let Ok(change) = payment.see(&intent.sight()) else {
        if new {
            ledger.revise(payment, now);
        }
        return Ok(None);
    };
    if let Some(fact) = change.fact {
        ledger.tell(events::changed(&payment, fact, &*ledger.desk.ids, now)?);
    }
    ledger.record(payment, &Step { from, cause, now });
    Ok(Some(change))
}

/// Keeps the record of a call that led to nothing.
pub(crate) async fn keep(app: &App, entry: Entry) -> Result<(), Failure> {
    let (payment, now) = (entry.payment, entry.at);
    let cause = String::new();
    let heard = Heard { payment, news: News::Nothing, entry: Some(entry), cause, now };
    app.write(Request::Heard(Box::new(heard))).await?;
    Ok(())
}

/// Takes in the answer to a capture or cancel. Where the provider refuses because of the intent's
/// state (it was a repeat, or somebody was faster), its state is what counts.
pub(crate) async fn settle(
    app: &Arc<App>,
    payment: &Payment,
    (result, entry): (Result<Intent, stripe::Error>, Entry),
    cause: &str,
) -> Result<Payment, Failure> {
    let error = match result {
        Ok(intent) => return observe(app, payment.id, intent, entry, cause).await,
        Err(error) => error,
    };
    keep(app, entry).await?;
    if !error.is_about_state() && !matches!(error, stripe::Error::Card { .. }) {
        return Err(provider_failure(&error));
    }
    look(app, payment, cause).await
}

/// Asks the provider how the payment's intent stands.
pub(crate) async fn look(
    app: &Arc<App>,
    payment: &Payment,
    cause: &str,
) -> Result<Payment, Failure> {
    let called = app.stripe.retrieve_intent(reference(payment)?).await;
    let (result, entry) = app.heard(payment.id, &payment.correlation_id, called);
    match result {
        Ok(intent) => observe(app, payment.id, intent, entry, cause).await,
        Err(error) => {
            keep(app, entry).await?;
            Err(provider_failure(&error))
        }
    }
}

pub(crate) fn reference(payment: &Payment) -> Result<&str, Failure> {
    let reference = payment.provider_reference.as_deref();
    reference.ok_or_else(|| Failure::internal(format!("{:?} has no intent", payment.id)))
}

/// Why a payment in this state can't be captured or cancelled.
pub(crate) fn refusal(state: State) -> Failure {
    let (reason, detail) = match state {
        State::RequiresPayment => ("PAYMENT_NOT_AUTHORIZED", "no card has been accepted yet"),
        State::Processing => ("PAYMENT_PROCESSING", "the provider has not decided yet"),
        State::Authorized => ("PAYMENT_AUTHORIZED", "the payment is still authorized"),
        State::Captured | State::PartiallyRefunded | State::Refunded => {
            ("PAYMENT_CAPTURED", "the money has been taken")
        }
        State::Failed => ("PAYMENT_FAILED", "the payment has failed"),
        State::Cancelled => ("PAYMENT_CANCELLED", "the payment has been cancelled"),
    };
    let failure = Failure::new(Code::Conflict, reason, detail);
    if state == State::Processing { failure.retry_after(1_000) } else { failure }
}
