//! Events and plans in their wire shapes, and the messages that tell of changes.

use kernel::{Failure, Timestamp};
use platform::bus::{CATALOG_EVENTS, Envelope};
use wire::{
    Context,
    pb::event::v1::{self as pb, EventAvailabilityChanged, EventPublished},
};

use crate::{
    NAME,
    app::App,
    domain::{Change, Event, Plan, Row, Section, SectionKind, Status},
};

/// Tells that the event was published.
pub(crate) fn published(
    app: &App,
    context: &Context,
    event: &Event,
    now: Timestamp,
) -> Result<Envelope, Failure> {
    whole(app, context, "event.published", event, now)
}

/// Tells what a published event is now, after an edit or a step.
pub(crate) fn updated(
    app: &App,
    context: &Context,
    event: &Event,
    now: Timestamp,
) -> Result<Envelope, Failure> {
    whole(app, context, "event.updated", event, now)
}

/// Tells of the steps that a published event took.
pub(crate) fn stepped(
    app: &App,
    context: &Context,
    event: &Event,
    changes: &[Change],
) -> Result<Vec<Envelope>, Failure> {
    let told = |change: &Change| match (change.from, change.to) {
        (_, Status::SoldOut) => availability(app, context, change, true),
        (Some(Status::SoldOut), Status::OnSale) => availability(app, context, change, false),
        _ => updated(app, context, event, change.at),
    };
    changes.iter().map(told).collect()
}

fn availability(
    app: &App,
    context: &Context,
    change: &Change,
    sold_out: bool,
) -> Result<Envelope, Failure> {
    let kind = if sold_out { "event.sold_out" } else { "event.back_on_sale" };
    let Change { event, at, version, .. } = *change;
    let content = EventAvailabilityChanged {
        event_id: event.to_string(),
        sold_out,
        at_us: at.micros(),
        version,
    };
    Envelope::new((CATALOG_EVENTS, NAME, kind), event, &content, context, (&*app.ids, at))
}

fn whole(
    app: &App,
    context: &Context,
    kind: &'static str,
    event: &Event,
    at: Timestamp,
) -> Result<Envelope, Failure> {
    let content = EventPublished { event: Some(to_event(event)), at_us: at.micros() };
    Envelope::new((CATALOG_EVENTS, NAME, kind), event.id, &content, context, (&*app.ids, at))
}

/// An event as it goes over the wire.
pub(crate) fn to_event(event: &Event) -> pb::Event {
    let terms = &event.terms;
    let category = |category: &crate::domain::Category| pb::PriceCategory {
        key: category.key.clone(),
        name: category.name.clone(),
        price_minor: category.price_minor,
    };
    pb::Event {
        event_id: event.id.to_string(),
        organization_id: event.organization.to_string(),
        venue_id: event.venue.to_string(),
        name: terms.name.clone(),
        description: terms.description.clone(),
        kind: terms.kind.as_str().to_owned(),
        starts_at_us: terms.starts_at.micros(),
        ends_at_us: terms.ends_at.micros(),
        sale_starts_at_us: terms.sale_starts_at.map_or(0, Timestamp::micros),
        sale_ends_at_us: terms.sale_end().micros(),
        currency: terms.currency.to_string(),
        categories: terms.categories.iter().map(category).collect(),
        max_per_booking: terms.max_per_booking,
        queue: Some(pb::QueueMode {
            enabled: terms.queue.enabled,
            admissions_per_minute: terms.queue.admissions_per_minute,
            admission_ttl_seconds: terms.queue.admission_ttl_seconds,
        }),
        status: to_status(event.status).into(),
        version: event.version,
        venue_name: event.venue_name.clone(),
        venue_city: event.venue_city.clone(),
        time_zone: event.time_zone.clone(),
        capacity: event.capacity,
        created_at_us: event.created_at.micros(),
        updated_at_us: event.updated_at.micros(),
        published_at_us: event.published_at.map_or(0, Timestamp::micros),
    }
}

fn to_status(status: Status) -> pb::EventStatus {
    match status {
        Status::Draft => pb::EventStatus::Draft,
        Status::Published => pb::EventStatus::Published,
        Status::OnSale => pb::EventStatus::OnSale,
        Status::SoldOut => pb::EventStatus::SoldOut,
        Status::Ended => pb::EventStatus::Ended,
        Status::Postponed => pb::EventStatus::Postponed,
        Status::Cancelled => pb::EventStatus::Cancelled,
    }
}

/// A plan as it goes over the wire.
pub(crate) fn to_plan(plan: &Plan) -> pb::SeatingPlan {
    let row = |row: &Row| pb::Row {
        name: row.name.clone(),
        first_number: row.first_number,
        seats: row.seats,
        category: row.category.clone(),
        wheelchair: row.wheelchair.clone(),
    };
    let section = |section: &Section| pb::Section {
        key: section.key.clone(),
        name: section.name.clone(),
        kind: match section.kind {
            SectionKind::Seated => pb::SectionKind::Seated.into(),
            SectionKind::Admission => pb::SectionKind::Admission.into(),
        },
        category: section.category.clone(),
        capacity: section.capacity,
        rows: section.rows.iter().map(row).collect(),
    };
    pb::SeatingPlan { sections: plan.sections.iter().map(section).collect() }
}
