//! Venues, seating plans and events.

use kernel::Failure;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::pb::event::v1 as pb;

use super::{at, micros, micros_or_0, moment, word};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeatingPlan {
    pub sections: Vec<Section>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SectionKind {
    /// Numbered seats.
    Seated,
    /// Places without a number.
    Admission,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    /// Unique in the plan; letters, digits, - and _.
    #[schema(example = "stalls")]
    pub key: String,
    pub name: String,
    pub kind: SectionKind,
    /// Price category of its places, where a row does not say otherwise.
    pub category: String,
    /// How many may enter an admission section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Rows of a seated section, the best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub name: String,
    /// Seats are numbered from here.
    pub first_number: u32,
    pub seats: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Numbers that are wheelchair places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wheelchair: Vec<u32>,
}

impl From<SeatingPlan> for pb::SeatingPlan {
    fn from(plan: SeatingPlan) -> Self {
        Self { sections: plan.sections.into_iter().map(Into::into).collect() }
    }
}

impl From<Section> for pb::Section {
    fn from(section: Section) -> Self {
        let kind = match section.kind {
            SectionKind::Seated => pb::SectionKind::Seated,
            SectionKind::Admission => pb::SectionKind::Admission,
        };
        let row = |row: Row| pb::Row {
            name: row.name,
            first_number: row.first_number,
            seats: row.seats,
            category: row.category.unwrap_or_default(),
            wheelchair: row.wheelchair,
        };
        Self {
            key: section.key,
            name: section.name,
            kind: kind.into(),
            category: section.category,
            capacity: section.capacity.unwrap_or_default(),
            rows: section.rows.into_iter().map(row).collect(),
        }
    }
}

impl From<pb::SeatingPlan> for SeatingPlan {
    fn from(plan: pb::SeatingPlan) -> Self {
        Self { sections: plan.sections.into_iter().map(Into::into).collect() }
    }
}

impl From<pb::Section> for Section {
    fn from(section: pb::Section) -> Self {
        let kind = match section.kind() {
            pb::SectionKind::Admission => SectionKind::Admission,
            _ => SectionKind::Seated,
        };
        let row = |row: pb::Row| Row {
            name: row.name,
            first_number: row.first_number,
            seats: row.seats,
            category: super::some(row.category),
            wheelchair: row.wheelchair,
        };
        Self {
            key: section.key,
            name: section.name,
            kind,
            category: section.category,
            capacity: (section.capacity > 0).then_some(section.capacity),
            rows: section.rows.into_iter().map(row).collect(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVenue {
    pub name: String,
    pub address: String,
    pub city: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "DE")]
    pub country: String,
    /// IANA zone.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    pub plan: SeatingPlan,
    /// Operators only: for which organization.
    #[serde(default)]
    pub organization_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Venue {
    pub venue_id: String,
    pub organization_id: String,
    pub name: String,
    pub address: String,
    pub city: String,
    pub country: String,
    pub time_zone: String,
    pub plan: SeatingPlan,
    pub capacity: u32,
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<pb::Venue> for Venue {
    fn from(venue: pb::Venue) -> Self {
        Self {
            venue_id: venue.venue_id,
            organization_id: venue.organization_id,
            name: venue.name,
            address: venue.address,
            city: venue.city,
            country: venue.country,
            time_zone: venue.time_zone,
            plan: venue.plan.unwrap_or_default().into(),
            capacity: venue.capacity,
            created_at: at(venue.created_at_us),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceCategory {
    /// As the plan's sections name it.
    pub key: String,
    pub name: String,
    /// 0 is free.
    pub price_minor: i64,
}

impl From<PriceCategory> for pb::PriceCategory {
    fn from(category: PriceCategory) -> Self {
        Self { key: category.key, name: category.name, price_minor: category.price_minor }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueMode {
    pub enabled: bool,
    #[serde(default)]
    pub admissions_per_minute: u32,
    /// How long an admission is good for; 0: 300.
    #[serde(default)]
    pub admission_ttl_seconds: u32,
}

impl From<QueueMode> for pb::QueueMode {
    fn from(queue: QueueMode) -> Self {
        Self {
            enabled: queue.enabled,
            admissions_per_minute: queue.admissions_per_minute,
            admission_ttl_seconds: queue.admission_ttl_seconds,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEvent {
    pub venue_id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// concert, theater, sports, conference, exhibition, comedy, workshop, festival or other.
    pub kind: String,
    #[schema(format = DateTime)]
    pub starts_at: String,
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// When left out: at once when published.
    #[schema(format = DateTime)]
    pub sale_starts_at: Option<String>,
    /// When left out: when the event starts.
    #[schema(format = DateTime)]
    pub sale_ends_at: Option<String>,
    pub currency: String,
    pub categories: Vec<PriceCategory>,
    /// 1 to 100; 10 when left out.
    #[serde(default)]
    pub max_per_booking: u32,
    pub queue: Option<QueueMode>,
}

impl TryFrom<NewEvent> for pb::CreateEventRequest {
    type Error = Failure;

    fn try_from(event: NewEvent) -> Result<Self, Failure> {
        Ok(Self {
            venue_id: event.venue_id,
            name: event.name,
            description: event.description,
            kind: event.kind,
            starts_at_us: micros("starts_at", &event.starts_at)?,
            ends_at_us: micros("ends_at", &event.ends_at)?,
            sale_starts_at_us: micros_or_0("sale_starts_at", event.sale_starts_at.as_deref())?,
            sale_ends_at_us: micros_or_0("sale_ends_at", event.sale_ends_at.as_deref())?,
            currency: event.currency,
            categories: event.categories.into_iter().map(Into::into).collect(),
            max_per_booking: event.max_per_booking,
            queue: event.queue.map(Into::into),
        })
    }
}

/// Changes the fields that are given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditEvent {
    pub name: Option<String>,
    pub description: Option<String>,
    pub kind: Option<String>,
    #[schema(format = DateTime)]
    pub starts_at: Option<String>,
    #[schema(format = DateTime)]
    pub ends_at: Option<String>,
    #[schema(format = DateTime)]
    pub sale_starts_at: Option<String>,
    #[schema(format = DateTime)]
    pub sale_ends_at: Option<String>,
    /// Replaces all categories.
    #[serde(default)]
    pub categories: Vec<PriceCategory>,
    pub max_per_booking: Option<u32>,
    pub queue: Option<QueueMode>,
}

impl EditEvent {
    pub(crate) fn into_wire(
        self,
        event_id: String,
        version: i64,
    ) -> Result<pb::UpdateEventRequest, Failure> {
        let time =
            |field: &str, text: Option<String>| text.map(|text| micros(field, &text)).transpose();
        Ok(pb::UpdateEventRequest {
            event_id,
            name: self.name,
            description: self.description,
            kind: self.kind,
            starts_at_us: time("starts_at", self.starts_at)?,
            ends_at_us: time("ends_at", self.ends_at)?,
            sale_starts_at_us: time("sale_starts_at", self.sale_starts_at)?,
            sale_ends_at_us: time("sale_ends_at", self.sale_ends_at)?,
            categories: self.categories.into_iter().map(Into::into).collect(),
            max_per_booking: self.max_per_booking,
            queue: self.queue.map(Into::into),
            version,
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    pub event_id: String,
    pub organization_id: String,
    pub venue_id: String,
    pub name: String,
    pub description: String,
    pub kind: String,
    #[schema(format = DateTime)]
    pub starts_at: String,
    #[schema(format = DateTime)]
    pub ends_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub sale_starts_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub sale_ends_at: Option<String>,
    pub currency: String,
    pub categories: Vec<PriceCategory>,
    pub max_per_booking: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueMode>,
    /// draft, published, on_sale, sold_out, ended, postponed or cancelled.
    pub status: String,
    pub version: i64,
    pub venue_name: String,
    pub venue_city: String,
    pub time_zone: String,
    pub capacity: u32,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub published_at: Option<String>,
}

impl From<pb::Event> for Event {
    fn from(event: pb::Event) -> Self {
        let status = word(event.status().as_str_name(), "EVENT_STATUS_");
        let category = |its: pb::PriceCategory| PriceCategory {
            key: its.key,
            name: its.name,
            price_minor: its.price_minor,
        };
        let queue = |its: pb::QueueMode| QueueMode {
            enabled: its.enabled,
            admissions_per_minute: its.admissions_per_minute,
            admission_ttl_seconds: its.admission_ttl_seconds,
        };
        Self {
            event_id: event.event_id,
            organization_id: event.organization_id,
            venue_id: event.venue_id,
            name: event.name,
            description: event.description,
            kind: event.kind,
            starts_at: at(event.starts_at_us),
            ends_at: at(event.ends_at_us),
            sale_starts_at: moment(event.sale_starts_at_us),
            sale_ends_at: moment(event.sale_ends_at_us),
            currency: event.currency,
            categories: event.categories.into_iter().map(category).collect(),
            max_per_booking: event.max_per_booking,
            queue: event.queue.map(queue),
            status,
            version: event.version,
            venue_name: event.venue_name,
            venue_city: event.venue_city,
            time_zone: event.time_zone,
            capacity: event.capacity,
            created_at: at(event.created_at_us),
            updated_at: at(event.updated_at_us),
            published_at: moment(event.published_at_us),
        }
    }
}
