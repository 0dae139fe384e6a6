//! HTTP faces: RFC 9457 problems, extractors that answer them, and the faces that every service
//! has.

mod extract;
mod faces;
mod nearby;
mod problem;
mod server;
mod stack;
#[cfg(test)]
mod tests;
mod wrap;

pub use extract::{Json, Path, Query};
pub use faces::faces;
pub use nearby::{Client, Nearby, Unanswered};
pub use problem::Problem;
pub use server::serve;
pub use stack::{context, stack};
pub use wrap::{Wrap, Wrapped, wrap};
