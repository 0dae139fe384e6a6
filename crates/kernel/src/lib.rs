//! Words that every part of Boxoffice speaks: ids, money, seats, time, failures, roles, secrets,
//! pages.
//!
//! This crate does no I/O, knows no async, and reads no clock and no randomness of its own: both
//! come in through [`Clock`] and [`Ids`], so that a test can drive years in a millisecond.

mod caller;

mod choice;
mod clock;
mod failure;
mod id;
mod money;
mod page;
mod seat;
mod secret;

pub use caller::{Caller, Role};
pub use choice::{Choice, MAX_PLACES, Place};
pub use clock::{Clock, SystemClock, Timestamp, TimestampError};
pub use failure::{Code, Failure, FieldError};
pub use id::{
    AccountId, BookingId, EventId, HoldId, IdError, Ids, MailId, MessageId, OrganizationId,
    PaymentId, RefundId, SessionId, TicketId, VenueId, reference,
};
pub use money::{Currency, Money, MoneyError};
pub use page::{MAX_PAGE_LIMIT, Page, PageError};
pub use seat::{SeatRef, SeatRefError};
pub use secret::Secret;
