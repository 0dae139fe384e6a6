//! Waiting queues and places in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::pb::booking_worker::v1 as pb;

use super::{at, booking::Choice, moment, some, word};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinQueue {
    /// If set, this is booked when the place is served; else the place gets an admission.
    #[serde(default)]
    pub wish: Option<Choice>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queue {
    pub event_id: String,
    pub waiting: u64,
    pub serving: u64,
    pub last_number: u64,
    pub admissions_per_minute: u32,
}

impl From<pb::Queue> for Queue {
    fn from(queue: pb::Queue) -> Self {
        Self {
            event_id: queue.event_id,
            waiting: queue.waiting,
            serving: queue.serving,
            last_number: queue.last_number,
            admissions_per_minute: queue.admissions_per_minute,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Place {
    pub event_id: String,
    /// The place's own number.
    pub number: u64,
    /// The number being served.
    pub serving: u64,
    /// How many are before.
    pub position: u64,
    pub estimated_wait_seconds: u32,
    /// waiting, processing, admitted, completed, failed, expired or left.
    pub status: String,
    /// With admitted: what to book with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub admission_expires_at: Option<String>,
    /// With completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[schema(format = DateTime)]
    pub joined_at: String,
}

impl From<pb::Place> for Place {
    fn from(place: pb::Place) -> Self {
        Self {
            status: word(place.status().as_str_name(), "PLACE_STATUS_"),
            event_id: place.event_id,
            number: place.number,
            serving: place.serving,
            position: place.position,
            estimated_wait_seconds: place.estimated_wait_seconds,
            admission_token: some(place.admission_token),
            admission_expires_at: moment(place.admission_expires_at_us),
            booking_id: some(place.booking_id),
            reason: some(place.reason),
            joined_at: at(place.joined_at_us),
        }
    }
}
