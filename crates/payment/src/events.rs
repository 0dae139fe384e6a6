//! What others are told, on topic `payment-events`, keyed by booking.

use kernel::{Caller, Failure, Ids, Timestamp};
use platform::bus::{Envelope, PAYMENT_EVENTS};
use wire::{
    Context,
    pb::payment::v1::{PaymentChanged, PaymentRefunded},
    to_money,
};

use crate::domain::{Fact, Payment, Refund};

impl Fact {
    const fn kind(self) -> &'static str {
        match self {
            Self::Authorized => "payment.authorized",
            Self::Captured => "payment.captured",
            Self::Declined => "payment.declined",
            Self::Failed => "payment.failed",
            Self::Cancelled => "payment.cancelled",
            Self::Refunded => "payment.refunded",
            Self::RefundFailed => "payment.refund_failed",
        }
    }
}

/// A fact about a payment.
pub(crate) fn changed(
    payment: &Payment,
    fact: Fact,
    ids: &dyn Ids,
    now: Timestamp,
) -> Result<Envelope, Failure> {
    let decline = payment.decline.as_ref();
    let decline = decline.filter(|_| matches!(fact, Fact::Declined | Fact::Failed));
    let content = PaymentChanged {
        payment_id: payment.id.to_string(),
        booking_id: payment.booking.to_string(),
        account_id: payment.account.to_string(),
        amount: Some(to_money(payment.amount)),
        decline_code: decline.map(|decline| decline.code.clone()).unwrap_or_default(),
        at_us: now.micros(),
    };
    envelope(payment, fact, &content, (ids, now))
}

/// A fact about a refund.
pub(crate) fn refunded(
    payment: &Payment,
    refund: &Refund,
    fact: Fact,
    ids: &dyn Ids,
    now: Timestamp,
) -> Result<Envelope, Failure> {
    let amount = kernel::Money::new(refund.amount_minor, payment.amount.currency);
    let content = PaymentRefunded {
        payment_id: payment.id.to_string(),
        booking_id: payment.booking.to_string(),
        account_id: payment.account.to_string(),
        refund_id: refund.id.to_string(),
        amount: Some(to_money(amount)),
        fully: payment.refunded_minor == payment.captured_minor,
        at_us: now.micros(),
    };
    envelope(payment, fact, &content, (ids, now))
}

fn envelope(
    payment: &Payment,
    fact: Fact,
    content: &impl serde::Serialize,
    made: (&dyn Ids, Timestamp),
) -> Result<Envelope, Failure> {
    // What follows from a request is tied to it, however much later it happens.
    let context = Context::new(Caller::Service("payment".to_owned()), &payment.correlation_id);
    let name = (PAYMENT_EVENTS, "payment", fact.kind());
    Envelope::new(name, payment.booking, content, &context, made)
}
