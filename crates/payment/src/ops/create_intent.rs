//! `create_intent`: the provider's intent first, under a key that the booking and its amount make,
//! then our row with what it said. Until the row is there nobody knows the secret that pays the
//! intent, and whoever asks again is given the same one. Where the provider's answer is lost, or
//! says no, the row comes without an intent, and whoever finds it finishes it.

use std::{sync::Arc, time::Duration};

use kernel::{AccountId, BookingId, Failure, Money, PaymentId};
use wire::Context;

use super::{
    batch::{Heard, News, Opening, Request},
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
    let mut payment = new(app, context, command);
    let (result, entry) = make(app, &payment).await?;
    let intent = result.map(|intent| {
        payment.provider_reference = Some(intent.id);
        payment.client_secret = intent.client_secret;
    });
    let payment = open(app, payment, entry).await?;
    match intent {
        _ if payment.provider_reference.is_some() => Ok(payment),
        Ok(()) => finish_creation(app, payment).await,
        Err(error) => Err(not_made(app, &payment, error, None).await?),
    }
}

/// The payment of a booking, which has the booking's own id: there is one of each.
fn new(app: &App, context: &Context, command: CreateIntent) -> Payment {
    let now = app.now();
    Payment {
        id: PaymentId::from_uuid(command.booking.uuid()),
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
    }
}

/// Writes the payment down, unless its booking has one: then it is that one.
async fn open(app: &App, payment: Payment, entry: Entry) -> Result<Payment, Failure> {
    let (account, amount) = (payment.account, payment.amount);
    let opening = Opening { payment, entry };
    let payment = app.write(Request::Open(Box::new(opening))).await?.payment()?;
    if (payment.account, payment.amount) != (account, amount) {
        let detail = "came with another amount or account before";
        let mut reused = Failure::invalid("booking_id", detail);
        reused.reason = "IDEMPOTENCY_KEY_REUSED".into();
        return Err(reused);
    }
    Ok(payment)
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
        Err(error) => Err(not_made(app, &payment, error, Some(entry)).await?),
    }
}

/// What it means that the provider has made no intent: refused, the payment ends.
async fn not_made(
    app: &Arc<App>,
    payment: &Payment,
    error: stripe::Error,
    entry: Option<Entry>,
) -> Result<Failure, Failure> {
    match (&error, entry) {
        (stripe::Error::Refused { code, .. }, entry) => {
            give_up(app, payment.id, entry, code).await?;
        }
        (_, Some(entry)) => keep(app, entry).await?,
        (_, None) => {}
    }
    Ok(provider_failure(&error))
}

/// Has the provider make the intent, under the key of the payment and its amount. Only where the
/// provider remembers a fault of its own under a key, and answers with it for ever, the next one is
/// used: a call whose answer was lost may have made the intent, which the same key finds again.
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
        let called = app.stripe.create_intent(&new, provider_key(payment, number)).await;
        let (result, entry) = app.heard(payment.id, &payment.correlation_id, called);
        if number == MAX_KEYS || !matches!(result, Err(stripe::Error::Spent(_))) {
            return Ok((result, entry));
        }
        keep(app, entry).await?;
        number += 1;
    }
}

fn provider_key(payment: &Payment, number: u32) -> String {
    let Payment { id, amount, .. } = payment;
    match number {
        1 => format!("create-{id}-{}", amount.minor),
        further => format!("create-{id}-{}-{further}", amount.minor),
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
