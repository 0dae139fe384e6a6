//! Money went back to the buyer.

use std::sync::Arc;

use platform::bus::Delivery;
use wire::pb::payment::v1::PaymentRefunded;

use super::decide;
use crate::{Error, app::App, domain::Input};

pub(super) async fn payment_refunded(app: &Arc<App>, delivery: &Delivery) -> Result<(), Error> {
    let event: PaymentRefunded = delivery.read()?;
    let fully = event.fully;
    decide(app, delivery, (&event.booking_id, Some(delivery.id)), move |change| {
        // A part of it says nothing about the booking.
        Ok(fully && change.step(Input::Refunded).is_ok())
    })
    .await
}
