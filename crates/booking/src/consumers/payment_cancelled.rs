//! The payment was cancelled: by us, or at the provider, and then the booking is cancelled too.

use std::sync::Arc;

use platform::bus::Delivery;
use wire::pb::payment::v1::PaymentChanged;

use super::decide;
use crate::{
    Error,
    app::App,
    domain::{Input, Step},
};

pub(super) async fn payment_cancelled(app: &Arc<App>, delivery: &Delivery) -> Result<(), Error> {
    let event: PaymentChanged = delivery.read()?;
    decide(app, delivery, (&event.booking_id, Some(delivery.id)), |change| {
        // After the end it is our own doing; while it is processed, the capture will be refused.
        let payable = change.booking.state.status.is_payable();
        if payable {
            change.end(Input::Cancel, "PAYMENT_CANCELLED")?;
            change.step(Input::PaymentVoided)?;
            let cursor = &mut change.booking.cursor;
            cursor.undo = cursor.undo.without(Step::CancelPayment);
        }
        Ok(payable)
    })
    .await
}
