//! The verbs, one a file.

mod advance_events;
mod create_event;
mod create_venue;
mod follow_seats;
mod get_event;
mod get_seating_plan;
mod get_venue;
mod list_events;
mod list_venues;
mod publish_event;
mod quote;
mod update_event;

pub(crate) use advance_events::advance_events;
pub(crate) use create_event::{CreateEvent, create_event};
pub(crate) use create_venue::{CreateVenue, create_venue};
pub(crate) use follow_seats::{SeatsChanged, follow_seats};
pub(crate) use get_event::get_event;
pub(crate) use get_seating_plan::get_seating_plan;
pub(crate) use get_venue::get_venue;
pub(crate) use list_events::{ListEvents, list_events};
pub(crate) use list_venues::list_venues;
pub(crate) use publish_event::publish_event;
pub(crate) use quote::{Quote, quote};
pub(crate) use update_event::{UpdateEvent, update_event};
