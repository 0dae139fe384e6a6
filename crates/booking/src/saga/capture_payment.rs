//! Takes the authorized money, once the tickets are there; undone by a refund.

use kernel::{Code, Failure, PaymentId};
use wire::{
    Context,
    pb::payment::v1::{CapturePaymentRequest, PaymentState, RefundPaymentRequest, RefundState},
};

use crate::{
    app::App,
    domain::{Booking, Input},
    saga::request_payment::{client, get_payment},
};

/// Takes the booking's money. Safe to repeat.
pub(crate) async fn capture_payment(
    app: &App,
    context: &Context,
    booking: &Booking,
) -> Result<(), Failure> {
    let request = CapturePaymentRequest { payment_id: payment_id(booking)?.to_string() };
    let answer = client(app, context).capture_payment(request).await;
    let payment = answer.map_err(|status| wire::failure(&status))?.into_inner();
    match payment.state() {
        PaymentState::Captured | PaymentState::PartiallyRefunded => Ok(()),
        PaymentState::Authorized | PaymentState::Processing => {
            Err(Failure::unavailable("the payment is not taken yet"))
        }
        state => {
            let detail = format!("the payment is {}", state.as_str_name());
            Err(Failure::new(Code::Conflict, "PAYMENT_NOT_CAPTURED", detail))
        }
    }
}

/// Gives back what was taken and is not back yet. Each refund that the provider failed to make is
/// followed by one with another key; else the key, and so the refund, is always the same.
pub(crate) async fn refund_payment(
    app: &App,
    context: &Context,
    booking: &Booking,
) -> Result<Input, Failure> {
    let id = payment_id(booking)?;
    let payment = get_payment(app, context, id).await?;
    let amount_minor = payment.captured_minor - payment.refunded_minor;
    if amount_minor <= 0 {
        return Ok(Input::RefundRequested);
    }
    let idempotency_key = match booking.cursor.refunds_failed {
        0 => format!("{}:cancel", booking.id),
        failed => format!("{}:cancel:{failed}", booking.id),
    };
    let reason = booking.reason.clone();
    let request =
        RefundPaymentRequest { payment_id: id.to_string(), amount_minor, reason, idempotency_key };
    let answer = client(app, context).refund_payment(request).await;
    let refund = answer.map_err(|status| wire::failure(&status))?.into_inner();
    if refund.state() == RefundState::Failed {
        return Err(Failure::new(Code::Conflict, "REFUND_FAILED", "the provider refused"));
    }
    Ok(Input::RefundRequested)
}

fn payment_id(booking: &Booking) -> Result<PaymentId, Failure> {
    booking.payment_id.ok_or_else(|| Failure::internal("money without a payment"))
}
