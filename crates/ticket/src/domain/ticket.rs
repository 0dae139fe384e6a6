//! A ticket and what it may become: issued → used | cancelled | refunded | transferred.

use std::fmt;

use kernel::{AccountId, BookingId, EventId, HoldId, Money, Place, TicketId, Timestamp};

/// Where a ticket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TicketStatus {
    /// Good for one entry.
    Issued,
    /// Was let in.
    Used,
    /// Taken back; its place is free again.
    Cancelled,
    /// Paid back.
    Refunded,
    /// Replaced by another holder's ticket.
    Transferred,
}

impl TicketStatus {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Issued, Self::Used, Self::Cancelled, Self::Refunded, Self::Transferred];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Used => "used",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
            Self::Transferred => "transferred",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for TicketStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be done with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Let it in.
    Use,
    /// Take it back.
    Cancel,
}

/// Why it can't be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It was let in before.
    Used,
    /// It is not good any more.
    Void(TicketStatus),
}

/// What becomes of a ticket in `status`. Cancelling what is already over changes nothing.
///
/// # Errors
/// Why it can't be done.
pub fn step(status: TicketStatus, input: Input) -> Result<TicketStatus, Refusal> {
    match (status, input) {
        (TicketStatus::Issued, Input::Use) => Ok(TicketStatus::Used),
        (TicketStatus::Issued, Input::Cancel) => Ok(TicketStatus::Cancelled),
        (TicketStatus::Used, _) => Err(Refusal::Used),
        (over, Input::Cancel) => Ok(over),
        (over, Input::Use) => Err(Refusal::Void(over)),
    }
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Names it.
    pub ticket_id: TicketId,
    /// Names it for people: `TKT…`.
    pub number: String,
    /// The hold it came from.
    pub hold_id: HoldId,
    /// The booking it belongs to.
    pub booking_id: BookingId,
    /// Which ticket of the booking, from 0.
    pub ordinal: u32,
    /// The event it lets in to.
    pub event_id: EventId,
    /// Whose it is.
    pub account_id: AccountId,
    /// Where it seats its holder.
    pub place: Place,
    /// What it cost.
    pub price: Money,
    /// Where it is in its life.
    pub status: TicketStatus,
    /// The signed code.
    pub code: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it was let in, and at which gate.
    pub used: Option<(Timestamp, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_let_in_once_and_never_after_it_was_taken_back() {
        assert_eq!(step(TicketStatus::Issued, Input::Use), Ok(TicketStatus::Used));
        assert_eq!(step(TicketStatus::Used, Input::Use), Err(Refusal::Used));
        assert_eq!(step(TicketStatus::Used, Input::Cancel), Err(Refusal::Used));
        for over in [TicketStatus::Cancelled, TicketStatus::Refunded, TicketStatus::Transferred] {
            assert_eq!(step(over, Input::Use), Err(Refusal::Void(over)));
            assert_eq!(step(over, Input::Cancel), Ok(over), "a repeat changes nothing");
        }
        for status in TicketStatus::ALL {
            assert_eq!(TicketStatus::named(status.as_str()), Some(status));
        }
    }
}
