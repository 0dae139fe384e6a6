//! A try to pay was declined; another is possible while the hold lasts.

use std::sync::Arc;

use platform::bus::Delivery;
use wire::pb::payment::v1::PaymentChanged;

use super::decide;
use crate::{Error, app::App, domain::Input};

pub(super) async fn payment_declined(app: &Arc<App>, delivery: &Delivery) -> Result<(), Error> {
    let event: PaymentChanged = delivery.read()?;
    decide(app, delivery, (&event.booking_id, Some(delivery.id)), |change| {
        // One that comes late, after a better try or after the end, changes nothing.
        let payable = change.booking.state.status.is_payable();
        if payable {
            change.step(Input::PaymentDeclined)?;
        }
        Ok(payable)
    })
    .await
}
