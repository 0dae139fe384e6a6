//! What is decided without looking outside: rooms, sequences, pace, and how changes of places meet.

mod pace;
mod room;
mod seats;

pub(crate) use pace::Pace;
pub(crate) use room::{Room, Seq};
pub(crate) use seats::{Change, Changed, Gathered, Spot, Window};
