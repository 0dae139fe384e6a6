//! The payment has failed for good: so has the booking.

use std::sync::Arc;

use platform::bus::Delivery;
use wire::pb::payment::v1::PaymentChanged;

use super::decide;
use crate::{
    Error,
    app::App,
    domain::{Input, Step},
};

pub(super) async fn payment_failed(app: &Arc<App>, delivery: &Delivery) -> Result<(), Error> {
    let event: PaymentChanged = delivery.read()?;
    decide(app, delivery, (&event.booking_id, Some(delivery.id)), |change| {
        let payable = change.booking.state.status.is_payable();
        if payable {
            change.step(Input::PaymentDeclined)?;
            change.end(Input::Fail, "PAYMENT_FAILED")?;
            // There is nothing to cancel.
            let cursor = &mut change.booking.cursor;
            cursor.undo = cursor.undo.without(Step::CancelPayment);
        }
        Ok(payable)
    })
    .await
}
