//! What comes next for a booking, as its state says: the saga can go on from any row it finds.

use kernel::Timestamp;

use crate::domain::{Booking, PaymentStatus, Status};

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Ask for the hold, and price it.
    HoldSeats,
    /// Make the payment at the provider.
    RequestPayment,
    /// The time to pay is over: look whether it was paid after all, else expire.
    LapsePayment,
    /// The time is over before the buyer could pay: expire.
    Expire,
    /// Issue the tickets, take the money if it is only authorized, confirm.
    Fulfil,
    /// Cancel the tickets of a confirmed booking, then the booking.
    CancelTickets,
    /// Give back what an ended booking may have taken.
    Undo,
    /// Nothing before this moment.
    Wait(Timestamp),
    /// Nothing.
    Rest,
}

/// What comes next for `booking` at `now`.
pub(crate) fn plan(booking: &Booking, now: Timestamp) -> Plan {
    let over = now >= booking.expires_at;
    match booking.state.status {
        Status::SeatsReserved if booking.state.payment == PaymentStatus::NotRequired => {
            Plan::Fulfil
        }
        // An intent may exist that nobody knows of; expiring undoes it.
        Status::Pending | Status::Reserving | Status::SeatsReserved if over => Plan::Expire,
        Status::Pending | Status::Reserving => Plan::HoldSeats,
        Status::SeatsReserved => Plan::RequestPayment,
        Status::PaymentPending | Status::PaymentFailed if over => Plan::LapsePayment,
        Status::PaymentPending | Status::PaymentFailed => Plan::Wait(booking.expires_at),
        Status::PaymentProcessing => Plan::Fulfil,
        Status::Confirmed if booking.cursor.cancelling => Plan::CancelTickets,
        Status::Confirmed => Plan::Rest,
        _ if !booking.cursor.undo.is_empty() => Plan::Undo,
        Status::Cancelled | Status::Failed | Status::Expired => Plan::Rest,
    }
}
