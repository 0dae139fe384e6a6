//! Pure decisions: what a plan and an event may be, and which status follows which. Time is an
//! argument.

mod event;
mod plan;
mod problems;
mod status;
mod terms;
mod venue;

pub(crate) use event::{Change, Edit, EditRefusal, Event};
pub(crate) use plan::{Plan, Row, Section, SectionKind};
pub(crate) use problems::Problems;
pub(crate) use status::{Refusal, Status};
pub(crate) use terms::{Category, Kind, Queue, Terms};
pub(crate) use venue::Venue;
