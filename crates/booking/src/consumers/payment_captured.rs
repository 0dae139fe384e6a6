//! The money was taken: by us, or by a method that can't be authorized first. Of a booking that
//! ended, it goes back.

use std::sync::Arc;

use platform::bus::Delivery;
use wire::pb::payment::v1::PaymentChanged;

use super::{decide, payment_authorized::paid};
use crate::{Error, app::App, domain::Input};

pub(super) async fn payment_captured(app: &Arc<App>, delivery: &Delivery) -> Result<(), Error> {
    let event: PaymentChanged = delivery.read()?;
    let payment_id = event.payment_id;
    decide(app, delivery, (&event.booking_id, None), move |change| {
        paid(change, &payment_id, Input::PaymentCaptured)
    })
    .await
}
