//! Events: which have a queue, and whether there is something to wait for.

use std::time::Duration;

use kernel::{Failure, Timestamp};
use platform::bus::Delivery;
use wire::pb::event::v1::{Event, EventAvailabilityChanged, EventPublished, EventStatus};

use crate::{
    app::App,
    domain::{Line, Sale},
    error::Error,
    ops,
};

pub(super) async fn changed(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let told: EventPublished = delivery.read()?;
    let event = told.event.ok_or_else(|| Failure::invalid("event", "is required"))?;
    ops::follow_event(app, wire::id("event.event_id", &event.event_id)?, line(&event)).await
}

pub(super) async fn availability_changed(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let told: EventAvailabilityChanged = delivery.read()?;
    let event = wire::id("event_id", &told.event_id)?;
    ops::follow_availability(app, event, (told.sold_out, told.version)).await
}

fn line(event: &Event) -> Line {
    let queue = event.queue.unwrap_or_default();
    let sale = match event.status() {
        EventStatus::SoldOut => Sale::SoldOut,
        EventStatus::Postponed => Sale::Postponed,
        EventStatus::Ended | EventStatus::Cancelled => Sale::Over,
        _ => Sale::On,
    };
    Line {
        version: event.version,
        queue: queue.enabled,
        admissions_per_minute: queue.admissions_per_minute,
        admission_ttl: Duration::from_secs(queue.admission_ttl_seconds.into()),
        sale_starts_at: Timestamp::from_micros(event.sale_starts_at_us),
        sale_ends_at: Timestamp::from_micros(event.sale_ends_at_us),
        max_per_booking: event.max_per_booking,
        sale,
    }
}
