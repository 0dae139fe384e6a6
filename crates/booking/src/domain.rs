//! Pure decisions about bookings: the state machine, what has to be undone, and what comes next.
//! Time is an argument.

mod booking;
mod plan;
mod state;
mod undo;

pub(crate) use booking::{Booking, Cursor, Line, Offer, RefusedWish, Terms};
pub(crate) use plan::{Plan, plan};
pub(crate) use state::{Input, PaymentStatus, Refusal, State, Status};
pub(crate) use undo::{Step, Undo, undo_of};
