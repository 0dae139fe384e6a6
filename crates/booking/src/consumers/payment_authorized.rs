//! The buyer's bank has set the money aside: tickets are issued, then it is taken. Of a booking
//! that ended, it is voided.

use std::sync::Arc;

use kernel::Failure;
use platform::bus::Delivery;
use wire::pb::payment::v1::PaymentChanged;

use super::{decide, give_back, note_payment};
use crate::{
    Error,
    app::App,
    change::Change,
    domain::{Input, Status},
};

pub(super) async fn payment_authorized(app: &Arc<App>, delivery: &Delivery) -> Result<(), Error> {
    let event: PaymentChanged = delivery.read()?;
    let payment_id = event.payment_id;
    decide(app, delivery, (&event.booking_id, None), move |change| {
        paid(change, &payment_id, Input::PaymentAuthorized)
    })
    .await
}

/// What an authorization or a capture leads to. No state that it leads to takes it again, and what
/// is to be given back is given back once however often that is asked for.
pub(super) fn paid(change: &mut Change, payment_id: &str, input: Input) -> Result<bool, Error> {
    note_payment(change, payment_id)?;
    match change.booking.state.status {
        // Whoever holds the places has had the payment made, and has not come to note either.
        Status::Pending | Status::Reserving => {
            return Err(Failure::unavailable("the booking's places are not noted yet").into());
        }
        // Whoever made the payment has not come to note it.
        Status::SeatsReserved => {
            change.step(Input::RequestPayment)?;
            change.step(input)?;
        }
        Status::PaymentPending | Status::PaymentFailed => change.step(input)?,
        // Whoever works on it asks payment-service itself.
        Status::PaymentProcessing | Status::Confirmed => return Ok(false),
        status if status.is_terminal() => return Ok(give_back(change)),
        _ => change.step(input)?,
    }
    Ok(true)
}
