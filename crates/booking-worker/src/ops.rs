//! The verbs of booking-worker.

mod book_wish;
mod follow_event;
mod get_place;
mod get_queue;
mod join_queue;
mod leave_queue;
mod serve_lines;
mod settle_places;
mod tell_head;

pub(crate) use follow_event::{follow_availability, follow_event};
pub(crate) use get_place::{PlaceSeen, get_place};
pub(crate) use get_queue::get_queue;
pub(crate) use join_queue::{JoinQueue, join_queue};
pub(crate) use leave_queue::leave_queue;
pub(crate) use serve_lines::{give_up_lines, serve_lines};
