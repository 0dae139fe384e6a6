//! Takes in how the provider's intent stands: state, history and event in one transaction, beside
//! the log of the call.

use std::sync::Arc;

use db::Tx;
use kernel::{Code, Failure, PaymentId, Timestamp};

use crate::{
    app::{App, provider_failure},
    domain::{Change, Payment, State},
    events,
    store::{self, Entry},
    stripe::{self, Intent},
};

/// A step that was decided, with all that its record needs.
pub(crate) struct Step<'a> {
    pub(crate) from: State,
    pub(crate) change: &'a Change,
    /// What led to it, for the history.
    pub(crate) cause: &'a str,
    pub(crate) now: Timestamp,
}

pub(crate) async fn find(app: &App, id: PaymentId) -> Result<Payment, Failure> {
    let found = app.db.read(move |tx| Box::pin(async move { store::payment(tx, id).await }));
    let found: Option<Payment> = found.await?;
    found.ok_or_else(|| Failure::not_found("payment"))
}

pub(crate) async fn locked(tx: &mut Tx, id: PaymentId) -> Result<Payment, Failure> {
    store::lock(tx, id).await?.ok_or_else(|| Failure::not_found("payment"))
}

/// Takes in the intent that a call of ours was answered with.
pub(crate) async fn observe(
    app: &Arc<App>,
    id: PaymentId,
    intent: Intent,
    entry: Entry,
    cause: &str,
) -> Result<Payment, Failure> {
    let now = app.now();
    let seen = Arc::new((app.clone(), intent, entry, cause.to_owned()));
    let written = app.db.write(move |tx| {
        let seen = seen.clone();
        Box::pin(async move {
            let (app, intent, entry, cause) = &*seen;
            store::insert_entry(tx, entry).await?;
            let mut payment = locked(tx, id).await?;
            let change = take_in(tx, app, &mut payment, intent, (cause, now)).await?;
            if change.is_none() && payment.state.is_open() {
                let again = app.patience.next(now, payment.attempts);
                store::put_off(tx, id, again).await?;
            }
            Ok::<_, Failure>((payment, change))
        })
    });
    let (payment, change) = written.await?;
    done(app, change.as_ref());
    Ok(payment)
}

/// Takes in an intent inside a transaction that holds the payment's lock.
pub(crate) async fn take_in(
    tx: &mut Tx,
    app: &App,
    payment: &mut Payment,
    intent: &Intent,
    (cause, now): (&str, Timestamp),
) -> Result<Option<Change>, Failure> {
    let from = payment.state;
    let new = payment.provider_reference.is_none();
    if new {
        payment.provider_reference = Some(intent.id.clone());
        payment.client_secret = intent.client_secret.clone();
    }
    if let Ok(change) = payment.see(&intent.sight()) {
        record(tx, app, payment, &Step { from, change: &change, cause, now }).await?;
        return Ok(Some(change));
    }
    if new {
        payment.updated_at = now;
        let due = payment.state.is_open().then(|| app.patience.next(now, 0));
        store::update(tx, payment, payment.version, due).await?;
    }
    Ok(None)
}

/// Writes a step: the payment's state, its history, and what others are told.
pub(crate) async fn record(
    tx: &mut Tx,
    app: &App,
    payment: &mut Payment,
    step: &Step<'_>,
) -> Result<(), Failure> {
    let due = payment.state.is_open().then(|| app.patience.next(step.now, 0));
    write(tx, payment, step, due).await?;
    if let Some(fact) = step.change.fact {
        let event = events::changed(payment, fact, &*app.ids, step.now)?;
        app.outbox.append(tx, &[event]).await?;
    }
    Ok(())
}

/// Writes the payment's new version and its history.
pub(crate) async fn write(
    tx: &mut Tx,
    payment: &mut Payment,
    step: &Step<'_>,
    due: Option<Timestamp>,
) -> Result<(), Failure> {
    let read = payment.version;
    payment.version += 1;
    payment.updated_at = step.now;
    store::update(tx, payment, read, due).await?;
    store::insert_transition(tx, payment, step.from.as_str(), step.cause).await?;
    Ok(())
}

/// What follows once a step is durable.
pub(crate) fn done(app: &App, change: Option<&Change>) {
    if let Some(change) = change {
        app.metrics.transition(change.to);
        app.outbox.wake();
    }
}

/// Keeps the record of a call that led to nothing.
pub(crate) async fn keep(app: &App, entry: Entry) -> Result<(), Failure> {
    let entry = Arc::new(entry);
    let written = app.db.write(move |tx| {
        let entry = entry.clone();
        Box::pin(async move { store::insert_entry(tx, &entry).await })
    });
    let written: Result<(), db::Error> = written.await;
    Ok(written?)
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
