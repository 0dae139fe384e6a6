//! What of an event is free. Cheap for everyone: read once for all who ask within half a second.

use std::sync::Arc;

use kernel::EventId;

use crate::{
    app::App,
    error::Error,
    maps::{Counters, Seats},
};

/// What of an event is free.
pub struct Availability {
    /// The event.
    pub event_id: EventId,
    /// Counters of all sections.
    pub counters: Arc<Counters>,
    /// The seats that are not free, if they were asked for.
    pub seats: Option<Arc<Seats>>,
}

/// Says what is free: counters, and with `seats` the names of those that are not. For everybody.
///
/// # Errors
/// `NOT_FOUND` if the event has no inventory.
pub async fn get_availability(
    app: &App,
    event_id: EventId,
    seats: bool,
) -> Result<Availability, Error> {
    let room = app.maps.room(event_id).await?;
    let now = app.now();
    let counters = room.counters(&app.db, now, now.minus(app.availability_ttl())).await?;
    let seats = match seats {
        true => Some(room.seats(&app.db, &counters).await?),
        false => None,
    };
    Ok(Availability { event_id, counters, seats })
}
