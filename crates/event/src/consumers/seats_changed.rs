//! `seats.held`, `seats.released` and `seats.sold`: an event sells out, or is back on sale.

use std::sync::Arc;

use kernel::Failure;
use platform::bus::Delivery;
use wire::pb::ticket::v1::SeatsChanged;

use crate::{
    NAME,
    app::App,
    ops::{self, follow_seats},
};

pub(crate) async fn seats_changed(app: &Arc<App>, delivery: &Delivery) -> Result<(), Failure> {
    let sold = match &*delivery.kind {
        "seats.sold" => true,
        "seats.held" | "seats.released" => false,
        _ => return Ok(()),
    };
    let told: SeatsChanged = delivery.read()?;
    let seats = ops::SeatsChanged {
        event: wire::id("event_id", &told.event_id)?,
        available: told.available,
        places: i64::try_from(told.places.len()).unwrap_or(i64::MAX),
        sold,
        sequence: told.sequence,
    };
    Ok(follow_seats(app, &delivery.context(NAME), seats).await?)
}
