//! A change of one booking: the steps it takes, and the facts that others learn of it, to be
//! written in one transaction.

use kernel::{BookingId, Timestamp};
use wire::pb::{booking::v1::BookingChanged, ticket::v1::Ticket};

use crate::{
    domain::{Booking, Input, PaymentStatus, Plan, Refusal, Status, Step, plan, undo_of},
    shapes,
};

/// One step that a booking took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transition {
    /// From where.
    pub(crate) from: Status,
    /// To where.
    pub(crate) to: Status,
    /// Moved by what.
    pub(crate) input: Input,
    /// Why, where the booking ended by it.
    pub(crate) reason: String,
    /// When.
    pub(crate) at: Timestamp,
}

/// An undoing that an operator has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// Of which booking.
    pub(crate) booking_id: BookingId,
    /// What could not be undone.
    pub(crate) step: Step,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// What it failed with.
    pub(crate) last_error: String,
    /// When it was given up.
    pub(crate) since: Timestamp,
}

/// A change of one booking, not yet written.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The booking as it will be.
    pub(crate) booking: Booking,
    /// The version that the change is made against.
    pub(crate) against: i64,
    /// The steps it takes.
    pub(crate) transitions: Vec<Transition>,
    /// What others learn of it: kind and content.
    pub(crate) news: Vec<(&'static str, BookingChanged)>,
    /// Undoings to put aside.
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Undoings that are no dead letters any more.
    pub(crate) revived: Vec<Step>,
    /// When it is made.
    pub(crate) at: Timestamp,
}

impl Change {
    /// A change of `booking` at `at` that changes nothing yet.
    pub(crate) fn of(mut booking: Booking, at: Timestamp) -> Self {
        let against = booking.version;
        booking.version += 1;
        Self {
            booking,
            against,
            transitions: Vec::new(),
            news: Vec::new(),
            dead_letters: Vec::new(),
            revived: Vec::new(),
            at,
        }
    }

    /// The change that opens `booking`, which asks for its hold at once and is leased until
    /// `until`.
    pub(crate) fn opening(booking: Booking, until: Timestamp) -> Result<Self, Refusal> {
        let at = booking.created_at;
        let mut change = Self::of(booking, at);
        let opened = shapes::changed(&change.booking, Vec::new(), at);
        change.news.push(("booking.opened", opened));
        change.step(Input::ReserveSeats)?;
        change.lease(until);
        Ok(change)
    }

    /// Takes a step of the state machine.
    pub(crate) fn step(&mut self, input: Input) -> Result<(), Refusal> {
        self.step_with(input, Vec::new())
    }

    /// Takes a step of the state machine that tells of these tickets.
    pub(crate) fn step_with(&mut self, input: Input, tickets: Vec<Ticket>) -> Result<(), Refusal> {
        let from = self.booking.state;
        let to = from.step(input)?;
        let booking = &mut self.booking;
        booking.state = to;
        if to.status.is_terminal() && !from.status.is_terminal() {
            for step in undo_of(from).steps() {
                booking.cursor.undo = booking.cursor.undo.with(step);
            }
            booking.cursor.attempts = 0;
            booking.cursor.cancelling = false;
        }
        match to.status {
            Status::Cancelled if from.status != to.status => booking.cancelled_at = Some(self.at),
            Status::Confirmed if from.status != to.status => {
                booking.confirmed_at = Some(self.at);
                booking.reason.clear();
            }
            _ => {}
        }
        let again = input == Input::PaymentDeclined;
        if to == from && !again {
            return Ok(());
        }
        let reason = if to.status.is_terminal() { booking.reason.clone() } else { String::new() };
        self.transitions.push(Transition {
            from: from.status,
            to: to.status,
            input,
            reason,
            at: self.at,
        });
        let refunded = to.payment == PaymentStatus::Refunded && from.payment != to.payment;
        let kind = match to.status {
            _ if refunded => Some("booking.refunded"),
            status if status != from.status || again => kind_of(status),
            _ => None,
        };
        if let Some(kind) = kind {
            self.news.push((kind, shapes::changed(&self.booking, tickets, self.at)));
        }
        Ok(())
    }

    /// Ends the booking for `reason`.
    pub(crate) fn end(&mut self, input: Input, reason: &str) -> Result<(), Refusal> {
        reason.clone_into(&mut self.booking.reason);
        self.step(input)
    }

    /// Whether the change has the booking go on by itself.
    fn goes_on(&self) -> bool {
        !matches!(plan(&self.booking, self.at), Plan::Wait(_) | Plan::Rest)
    }

    /// Moves the cursor: where there is more to do, the lease goes on until `until`; else it ends.
    pub(crate) fn rest_or_go_on(&mut self, until: Timestamp) {
        if self.goes_on() {
            self.booking.cursor.due_at = Some(until);
            self.booking.cursor.leased = true;
            return;
        }
        self.booking.cursor.attempts = 0;
        self.booking.cursor.leased = false;
        self.booking.cursor.due_at = match plan(&self.booking, self.at) {
            Plan::Wait(at) => Some(at),
            _ => None,
        };
    }

    /// Leases the booking to whoever makes this change, until `until`, if there is anything to do.
    pub(crate) fn lease(&mut self, until: Timestamp) {
        self.booking.cursor.lease += 1;
        self.rest_or_go_on(until);
    }

    /// Ends the lease and has the booking looked at again at `due_at`.
    pub(crate) fn postpone(&mut self, due_at: Timestamp) {
        self.booking.cursor.leased = false;
        self.booking.cursor.due_at = Some(due_at);
    }
}

fn kind_of(status: Status) -> Option<&'static str> {
    match status {
        Status::Pending | Status::Reserving => None,
        Status::SeatsReserved => Some("booking.seats_reserved"),
        Status::PaymentPending => Some("booking.payment_requested"),
        Status::PaymentProcessing => Some("booking.payment_processing"),
        Status::PaymentFailed => Some("booking.payment_failed"),
        Status::Confirmed => Some("booking.confirmed"),
        Status::Cancelled => Some("booking.cancelled"),
        Status::Failed => Some("booking.failed"),
        Status::Expired => Some("booking.expired"),
    }
}
