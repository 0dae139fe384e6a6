//! What the events of other services lead to.

mod seats_changed;

pub(crate) use seats_changed::seats_changed;
