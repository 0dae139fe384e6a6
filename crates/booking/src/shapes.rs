//! Bookings as they go over the wire: in answers, in events, in history.

use kernel::{Caller, Timestamp};
use wire::pb::{booking::v1 as pb, ticket::v1::Ticket};

use crate::{
    change::{DeadLetter, Transition},
    domain::{Booking, Line, Offer, PaymentStatus, Status},
};

/// The booking as `caller` may see it: only the buyer sees with what to pay, and only while that is
/// possible.
pub(crate) fn booking_for(caller: &Caller, booking: &Booking) -> pb::Booking {
    let mut shape = shape(booking);
    let is_buyer = matches!(caller, Caller::Account { id, .. } if *id == booking.account_id);
    if is_buyer && booking.state.status.is_payable() {
        let secret = booking.client_secret.as_ref();
        shape.client_secret = secret.map(|secret| secret.expose().clone()).unwrap_or_default();
    }
    shape
}

/// What others learn of a booking at `at`.
pub(crate) fn changed(
    booking: &Booking,
    tickets: Vec<Ticket>,
    at: Timestamp,
) -> pb::BookingChanged {
    let terms = booking.offer.as_ref().map(|offer| &offer.terms);
    pb::BookingChanged {
        booking: Some(shape(booking)),
        tickets,
        venue_name: terms.map(|terms| terms.venue_name.clone()).unwrap_or_default(),
        time_zone: terms.map(|terms| terms.time_zone.clone()).unwrap_or_default(),
        starts_at_us: terms.map_or(0, |terms| terms.starts_at.micros()),
        at_us: at.micros(),
    }
}

/// What is held, under which id and of which event.
pub(crate) fn hold(
    (hold_id, event_id): (String, String),
    offer: &Offer,
    expires_at: Timestamp,
) -> pb::Hold {
    pb::Hold {
        hold_id,
        event_id,
        places: offer.places.iter().map(wire::to_place).collect(),
        lines: offer.lines.iter().map(line).collect(),
        total: Some(wire::to_money(offer.total)),
        expires_at_us: expires_at.micros(),
    }
}

fn line(line: &Line) -> pb::booking::Line {
    pb::booking::Line {
        category: line.category.clone(),
        category_name: line.category_name.clone(),
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    }
}

/// One step of a booking's history.
pub(crate) fn transition(step: &Transition) -> pb::get_history_response::Transition {
    pb::get_history_response::Transition {
        from: status(step.from).into(),
        to: status(step.to).into(),
        input: step.input.as_str().to_owned(),
        reason: step.reason.clone(),
        at_us: step.at.micros(),
    }
}

/// An undoing that waits for an operator.
pub(crate) fn dead_letter(letter: &DeadLetter) -> pb::DeadLetter {
    pb::DeadLetter {
        booking_id: letter.booking_id.to_string(),
        step: letter.step.as_str().to_owned(),
        attempts: letter.attempts,
        last_error: letter.last_error.clone(),
        since_us: letter.since.micros(),
    }
}

/// The booking without its secret.
fn shape(booking: &Booking) -> pb::Booking {
    let offer = booking.offer.as_ref();
    let ended = booking.state.status.is_terminal();
    pb::Booking {
        booking_id: booking.id.to_string(),
        reference: booking.reference.clone(),
        account_id: booking.account_id.to_string(),
        event_id: booking.event_id.to_string(),
        event_name: offer.map(|offer| offer.terms.event_name.clone()).unwrap_or_default(),
        status: status(booking.state.status).into(),
        payment_status: payment_status(booking.state.payment).into(),
        total: offer.map(|offer| wire::to_money(offer.total)),
        places: offer.into_iter().flat_map(|o| &o.places).map(wire::to_place).collect(),
        lines: offer.into_iter().flat_map(|offer| &offer.lines).map(line).collect(),
        payment_id: booking.payment_id.map(|id| id.to_string()).unwrap_or_default(),
        client_secret: String::new(),
        reason: if ended { booking.reason.clone() } else { String::new() },
        expires_at_us: booking.expires_at.micros(),
        created_at_us: booking.created_at.micros(),
        confirmed_at_us: booking.confirmed_at.map_or(0, Timestamp::micros),
        cancelled_at_us: booking.cancelled_at.map_or(0, Timestamp::micros),
        version: booking.version,
    }
}

fn status(status: Status) -> pb::BookingStatus {
    match status {
        Status::Pending => pb::BookingStatus::Pending,
        Status::Reserving => pb::BookingStatus::Reserving,
        Status::SeatsReserved => pb::BookingStatus::SeatsReserved,
        Status::PaymentPending => pb::BookingStatus::PaymentPending,
        Status::PaymentProcessing => pb::BookingStatus::PaymentProcessing,
        Status::PaymentFailed => pb::BookingStatus::PaymentFailed,
        Status::Confirmed => pb::BookingStatus::Confirmed,
        Status::Cancelled => pb::BookingStatus::Cancelled,
        Status::Failed => pb::BookingStatus::Failed,
        Status::Expired => pb::BookingStatus::Expired,
    }
}

fn payment_status(payment: PaymentStatus) -> pb::PaymentStatus {
    match payment {
        PaymentStatus::NotRequired => pb::PaymentStatus::NotRequired,
        PaymentStatus::Pending => pb::PaymentStatus::Pending,
        PaymentStatus::Authorized => pb::PaymentStatus::Authorized,
        PaymentStatus::Captured => pb::PaymentStatus::Captured,
        PaymentStatus::Failed => pb::PaymentStatus::Failed,
        PaymentStatus::Refunding => pb::PaymentStatus::Refunding,
        PaymentStatus::Refunded => pb::PaymentStatus::Refunded,
        PaymentStatus::Voided => pb::PaymentStatus::Voided,
    }
}
