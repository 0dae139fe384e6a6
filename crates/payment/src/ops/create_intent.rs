//! `create_intent`: our row first, then the provider's intent keyed by it, then what it said.
//! Whoever finds the row without an intent finishes it.

use std::{sync::Arc, time::Duration};

use kernel::{AccountId, BookingId, Failure, Money, PaymentId};
use wire::Context;

use super::{
    batch::{Heard, News, Request},
    observe::{keep, observe},
};
use crate::{
    app::{App, may_move_money, provider_failure},
    domain::{Payment, State},
    store::Entry,
    stripe::{self, NewIntent},
};

/// Why it happens, for the history.
const CAUSE: &str = "create_intent";
/// The longest booking reference.
const MAX_REFERENCE: usize = 64;
/// The most keys that are used for one payment.
const MAX_KEYS: u32 = 32;
/// How long the creation of an intent is tried. The provider remembers keys for 24 hours.
const GIVE_UP_AFTER: Duration = Duration::from_secs(20 * 3_600);

/// What the payment is for.
#[derive(Debug, Clone)]
pub(crate) struct CreateIntent {
    pub(crate) booking: BookingId,
    pub(crate) booking_reference: String,
    pub(crate) account: AccountId,
    pub(crate) amount: Money,
}

/// Makes the payment of a booking, or gives the one that was made.
pub(crate) async fn create_intent(
    app: &Arc<App>,
    context: &Context,
    command: CreateIntent,
) -> Result<Payment, Failure> {
    may_move_money(&context.caller)?;
    if command.amount.minor < 1 {
        return Err(Failure::invalid("amount.minor", "must be at least 1"));
    }
    if command.booking_reference.is_empty() || command.booking_reference.len() > MAX_REFERENCE {
        let detail = format!("must have 1 to {MAX_REFERENCE} characters");
        return Err(Failure::invalid("booking_reference", detail));
    }
    let (account, amount) = (command.account, command.amount);
    let payment = find_or_insert(app, context, command).await?;
    if (payment.account, payment.amount) != (account, amount) {
        let detail = "came with another amount or account before";
        let mut reused = Failure::invalid("booking_id", detail);
        reused.reason = "IDEMPOTENCY_KEY_REUSED".into();
        return Err(reused);
    }
    finish_creation(app, payment).await
}

async fn find_or_insert(
    app: &App,
    context: &Context,
    command: CreateIntent,
) -> Result<Payment, Failure> {
    let now = app.now();
    let fresh = Payment {
        id: PaymentId::new(&*app.desk.ids, now),
        booking: command.booking,
        booking_reference: command.booking_reference,
        account: command.account,
        amount: command.amount,
        captured_minor: 0,
        refunded_minor: 0,
        pending_refund_minor: 0,
        state: State::RequiresPayment,
        version: 0,
        provider_reference: None,
        client_secret: None,
        decline: None,
        provider_event_s: 0,
        correlation_id: context.correlation_id.to_string(),
        attempts: 0,
        created_at: now,
        updated_at: now,
    };
    app.write(Request::Open(Box::new(fresh))).await?.payment()
}

/// Has the provider make the intent, if it has not done so yet.
pub(crate) async fn finish_creation(app: &Arc<App>, payment: Payment) -> Result<Payment, Failure> {
    if payment.provider_reference.is_some() {
        return Ok(payment);
    }
    if !payment.state.is_open() {
        let code = payment.decline.map(|decline| decline.code).unwrap_or_default();
        let message = "it was refused before".to_owned();
        return Err(provider_failure(&stripe::Error::Refused { code, message }));
    }
    if app.now().since(payment.created_at) > GIVE_UP_AFTER {
        return give_up(app, payment.id, None, "provider_unreachable").await;
    }
    let (result, entry) = make(app, &payment).await?;
    match result {
        Ok(intent) => observe(app, payment.id, intent, entry, CAUSE).await,
        Err(stripe::Error::Refused { code, message }) => {
            give_up(app, payment.id, Some(entry), &code).await?;
            Err(provider_failure(&stripe::Error::Refused { code, message }))
        }
        Err(error) => {
            keep(app, entry).await?;
            Err(provider_failure(&error))
        }
    }
}

/// Has the provider make the intent, under the payment's key. Only where the provider remembers a
/// fault of its own under a key, and answers with it for ever, the next one is used: a call whose
/// answer was lost may have made the intent, which the same key finds again.
async fn make(
    app: &App,
    payment: &Payment,
) -> Result<(Result<stripe::Intent, stripe::Error>, Entry), Failure> {
    let new = NewIntent {
        payment: payment.id,
        booking: payment.booking,
        booking_reference: &payment.booking_reference,
        amount: payment.amount,
    };
    let mut number = 1;
    loop {
        let called = app.stripe.create_intent(&new, provider_key(payment.id, number)).await;
        let (result, entry) = app.heard(payment.id, &payment.correlation_id, called);
        if number == MAX_KEYS || !matches!(result, Err(stripe::Error::Spent(_))) {
            return Ok((result, entry));
        }
        keep(app, entry).await?;
        number += 1;
    }
}

fn provider_key(payment: PaymentId, number: u32) -> String {
    match number {
        1 => format!("create-{payment}"),
        further => format!("create-{payment}-{further}"),
    }
}

/// Ends a payment that the provider never took up.
async fn give_up(
    app: &Arc<App>,
    payment: PaymentId,
    entry: Option<Entry>,
    code: &str,
) -> Result<Payment, Failure> {
    let (news, cause) = (News::GivenUp(code.to_owned()), CAUSE.to_owned());
    let heard = Heard { payment, news, entry, cause, now: app.now() };
    app.write(Request::Heard(Box::new(heard))).await?.payment()
}
