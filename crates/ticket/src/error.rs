//! What this service refuses, and the one mapping to codes and reasons.

use kernel::{Code, Failure, SeatRef, Timestamp};

use crate::domain::{hold::HoldStatus, ticket::TicketStatus};

/// Why a verb did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The request or the caller is wrong.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The event has an inventory with another plan or other terms.
    #[error("the event's inventory is open with another plan")]
    InventoryOpen,
    /// Seats are held or sold.
    #[error("seat taken")]
    SeatTaken {
        /// Which of the wished ones.
        seats: Vec<SeatRef>,
        /// How many places of the event are free.
        available: i64,
    },
    /// There are not so many places.
    #[error("sold out")]
    SoldOut {
        /// How many of those that were asked for are left.
        available: i64,
    },
    /// The event is over.
    #[error("the event is over")]
    EventEnded,
    /// The hold id was used for another wish.
    #[error("the hold was made for another wish")]
    HoldMismatch,
    /// The hold is over, and its places can't be had again.
    #[error("the hold is {0}, and its places are lost")]
    HoldLost(HoldStatus),
    /// The hold became tickets.
    #[error("the hold became tickets")]
    HoldIssued,
    /// A ticket of the booking was used.
    #[error("a ticket was used")]
    TicketUsed,
    /// The code is not one of ours, or not good any more.
    #[error("invalid ticket: {0}")]
    InvalidTicket(String),
    /// The ticket is for another event.
    #[error("the ticket is for another event")]
    EventMismatch,
    /// The ticket was let in before.
    #[error("the ticket was used")]
    AlreadyUsed {
        /// When.
        at: Timestamp,
        /// Where.
        gate: String,
    },
    /// The ticket was taken back.
    #[error("the ticket is {0}")]
    CancelledTicket(TicketStatus),
}

impl Error {
    /// The reason that machines read, for refusals of tickets at the door.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Db(_) | Self::Failure(_) => "FAILED",
            Self::InventoryOpen => "INVENTORY_OPEN",
            Self::SeatTaken { .. } => "SEAT_TAKEN",
            Self::SoldOut { .. } => "SOLD_OUT",
            Self::EventEnded => "EVENT_ENDED",
            Self::HoldMismatch => "HOLD_MISMATCH",
            Self::HoldLost(_) => "HOLD_LOST",
            Self::HoldIssued => "HOLD_ISSUED",
            Self::TicketUsed => "TICKET_USED",
            Self::InvalidTicket(_) => "INVALID_TICKET",
            Self::EventMismatch => "TICKET_EVENT_MISMATCH",
            Self::AlreadyUsed { .. } => "TICKET_ALREADY_USED",
            Self::CancelledTicket(_) => "CANCELLED_TICKET",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let refusal = Self::new(Code::Conflict, error.reason(), error.to_string());
        match error {
            Error::Db(error) => error.into(),
            Error::Failure(failure) => failure,
            Error::SeatTaken { seats, available } => {
                let seats: Vec<&str> = seats.iter().map(SeatRef::as_str).collect();
                refusal.with("seats", seats.join(",")).with("available", available)
            }
            Error::SoldOut { available } => refusal.with("available", available),
            Error::InvalidTicket(_) => {
                Self { reason: refusal.reason, ..Self::invalid("code", refusal.detail) }
            }
            Error::HoldLost(status) => refusal.with("status", status),
            Error::AlreadyUsed { at, gate } => refusal.with("used_at", at).with("gate", gate),
            Error::CancelledTicket(status) => refusal.with("status", status),
            _ => refusal,
        }
    }
}
