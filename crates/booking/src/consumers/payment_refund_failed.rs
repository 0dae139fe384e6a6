//! The provider could not give the money back: an operator has to look, and may have it tried
//! again.

use std::sync::Arc;

use platform::bus::Delivery;
use wire::pb::payment::v1::PaymentRefunded;

use super::decide;
use crate::{
    Error,
    app::App,
    change::DeadLetter,
    domain::{PaymentStatus, Step},
};

pub(super) async fn payment_refund_failed(
    app: &Arc<App>,
    delivery: &Delivery,
) -> Result<(), Error> {
    let event: PaymentRefunded = delivery.read()?;
    let refund_id = event.refund_id;
    decide(app, delivery, (&event.booking_id, Some(delivery.id)), move |change| {
        let (status, payment) = (change.booking.state.status, change.booking.state.payment);
        if !status.is_terminal() {
            return Ok(false);
        }
        // The next refund is another one.
        change.booking.cursor.refunds_failed += 1;
        // Also one that seemed to have succeeded may fail in the end.
        if !matches!(payment, PaymentStatus::Refunding | PaymentStatus::Refunded) {
            // Whoever asked for it has been refused, or will ask again.
            return Ok(true);
        }
        change.dead_letters.push(DeadLetter {
            booking_id: change.booking.id,
            step: Step::RefundPayment,
            attempts: change.booking.cursor.refunds_failed,
            last_error: format!("REFUND_FAILED: the provider could not make refund {refund_id}"),
            since: change.at,
        });
        Ok(true)
    })
    .await
}
