//! The platform behind its public door, measured from outside: a process of its own, or one for
//! each service with their servers, and before it callers that make their next request once the
//! last is answered. All callers share one thread, so that the load costs little of the two cores.

mod asking;
mod bare;
pub(crate) mod bookings;
mod buyer;
mod connection;
pub(crate) mod holds;
pub(crate) mod mint;
mod platform;
pub(crate) mod queue;
pub(crate) mod refusals;
mod stand;
mod taken;
mod tally;
