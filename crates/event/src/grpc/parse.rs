//! Requests into commands: what can't even be said in words of the domain is refused here.

use kernel::{Failure, FieldError, Timestamp};
use wire::{id, pb::event::v1 as pb};

use crate::{
    domain::{Category, Edit, Kind, Plan, Queue, Row, Section, SectionKind, Terms},
    error::Error,
    ops::{CreateEvent, CreateVenue, UpdateEvent},
};

/// How many places go into one booking where nothing is said.
const DEFAULT_MAX_PER_BOOKING: u32 = 10;
/// How long an admission is good for where nothing is said.
const DEFAULT_ADMISSION_TTL_SECONDS: u32 = 300;

pub(super) fn create_venue(request: pb::CreateVenueRequest) -> Result<CreateVenue, Error> {
    let organization = match request.organization_id.as_str() {
        "" => None,
        text => Some(id("organization_id", text)?),
    };
    Ok(CreateVenue {
        organization,
        name: request.name,
        address: request.address,
        city: request.city,
        country: request.country,
        time_zone: request.time_zone,
        plan: request.plan.map(plan).transpose()?,
    })
}

pub(super) fn create_event(request: pb::CreateEventRequest) -> Result<CreateEvent, Error> {
    let venue = id("venue_id", &request.venue_id)?;
    let mut wrong = Vec::new();
    let kind = noted(kind(&request.kind), &mut wrong);
    let currency = noted(id("currency", &request.currency), &mut wrong);
    let (Some(kind), Some(currency)) = (kind, currency) else { return Err(Error::Invalid(wrong)) };
    let terms = Terms {
        name: request.name.trim().to_owned(),
        description: request.description,
        kind,
        starts_at: Timestamp::from_micros(request.starts_at_us),
        ends_at: Timestamp::from_micros(request.ends_at_us),
        sale_starts_at: time(request.sale_starts_at_us),
        sale_ends_at: time(request.sale_ends_at_us),
        currency,
        categories: categories(request.categories),
        max_per_booking: max_per_booking(request.max_per_booking),
        queue: request.queue.map(queue).unwrap_or_default(),
    };
    Ok(CreateEvent { venue, terms })
}

pub(super) fn update_event(request: pb::UpdateEventRequest) -> Result<UpdateEvent, Error> {
    let event = id("event_id", &request.event_id)?;
    if request.version < 0 {
        return Err(Failure::invalid("version", "must not be negative").into());
    }
    let edit = Edit {
        name: request.name.map(|name| name.trim().to_owned()),
        description: request.description,
        kind: request.kind.as_deref().map(kind).transpose()?,
        starts_at: request.starts_at_us.map(Timestamp::from_micros),
        ends_at: request.ends_at_us.map(Timestamp::from_micros),
        sale_starts_at: request.sale_starts_at_us.map(time),
        sale_ends_at: request.sale_ends_at_us.map(time),
        categories: (!request.categories.is_empty()).then(|| categories(request.categories)),
        max_per_booking: request.max_per_booking.map(max_per_booking),
        queue: request.queue.map(queue),
    };
    let version = (request.version != 0).then_some(request.version);
    Ok(UpdateEvent { event, edit, version })
}

fn plan(plan: pb::SeatingPlan) -> Result<Plan, Failure> {
    let sections = plan.sections.into_iter().enumerate();
    let sections = sections.map(|(at, one)| section(at, one)).collect::<Result<_, _>>()?;
    Ok(Plan { sections })
}

fn section(at: usize, section: pb::Section) -> Result<Section, Failure> {
    let kind = match section.kind() {
        pb::SectionKind::Seated => SectionKind::Seated,
        pb::SectionKind::Admission => SectionKind::Admission,
        pb::SectionKind::Unspecified => {
            let field = format!("plan.sections[{at}].kind");
            return Err(Failure::invalid(field, "must be seated or admission"));
        }
    };
    let row = |row: pb::Row| Row {
        name: row.name,
        first_number: row.first_number,
        seats: row.seats,
        category: row.category,
        wheelchair: row.wheelchair,
    };
    Ok(Section {
        key: section.key,
        name: section.name,
        kind,
        category: section.category,
        capacity: section.capacity,
        rows: section.rows.into_iter().map(row).collect(),
    })
}

fn kind(text: &str) -> Result<Kind, Failure> {
    let listed = || Failure::invalid("kind", format!("must be one of {}", Kind::listed()));
    Kind::parse(text).ok_or_else(listed)
}

/// 0 stands for: not set.
fn time(micros: i64) -> Option<Timestamp> {
    (micros != 0).then(|| Timestamp::from_micros(micros))
}

fn categories(categories: Vec<pb::PriceCategory>) -> Vec<Category> {
    let category = |category: pb::PriceCategory| Category {
        key: category.key,
        name: category.name,
        price_minor: category.price_minor,
    };
    categories.into_iter().map(category).collect()
}

fn max_per_booking(count: u32) -> u32 {
    if count == 0 { DEFAULT_MAX_PER_BOOKING } else { count }
}

fn queue(queue: pb::QueueMode) -> Queue {
    if !queue.enabled {
        return Queue::default();
    }
    let admission_ttl_seconds = match queue.admission_ttl_seconds {
        0 => DEFAULT_ADMISSION_TTL_SECONDS,
        seconds => seconds,
    };
    Queue {
        enabled: true,
        admissions_per_minute: queue.admissions_per_minute,
        admission_ttl_seconds,
    }
}

fn noted<T>(result: Result<T, Failure>, wrong: &mut Vec<FieldError>) -> Option<T> {
    result.map_err(|failure| wrong.extend(failure.fields)).ok()
}
