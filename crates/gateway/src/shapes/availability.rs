//! What is free of an event.

use serde::Serialize;
use utoipa::ToSchema;
use wire::pb::ticket::v1 as pb;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Availability {
    pub event_id: String,
    /// Grows with every change.
    pub version: i64,
    pub sections: Vec<SectionAvailability>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SectionAvailability {
    pub section: String,
    pub capacity: u32,
    pub held: u32,
    pub sold: u32,
    pub available: u32,
    /// As section/row/number.
    pub held_seats: Vec<String>,
    pub sold_seats: Vec<String>,
}

impl From<pb::Availability> for Availability {
    fn from(availability: pb::Availability) -> Self {
        let section = |its: pb::availability::SectionAvailability| SectionAvailability {
            available: its.capacity.saturating_sub(its.held).saturating_sub(its.sold),
            section: its.section,
            capacity: its.capacity,
            held: its.held,
            sold: its.sold,
            held_seats: its.held_seats,
            sold_seats: its.sold_seats,
        };
        Self {
            event_id: availability.event_id,
            version: availability.version,
            sections: availability.sections.into_iter().map(section).collect(),
        }
    }
}
