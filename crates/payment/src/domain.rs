//! What a payment may do, decided without I/O.

mod payment;
mod refund;
mod state;

pub(crate) use payment::{Change, Decline, Fact, Payment, Sight};
pub(crate) use refund::{Refund, RefundState};
pub(crate) use state::{Extent, Input, Refusal, State, step};
