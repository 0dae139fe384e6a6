//! Pure decisions: whether a line moves, how fast, and where a place stands. Time is an argument.

mod line;
mod pace;
mod place;

pub(crate) use line::{Gate, Line, Sale, Shut};
pub(crate) use pace::Pace;
pub(crate) use place::{Outcome, Place, Standing, Turn, position, wait};
