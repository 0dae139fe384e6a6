//! Bookings: tickets, and what became of them and of the money.

use kernel::{Failure, Timestamp};
use platform::bus::Delivery;
use serde_json::{Value, json};
use wire::pb::{
    booking::v1::{Booking, BookingChanged, PaymentStatus},
    ticket::v1::Ticket,
};

use crate::{
    app::App,
    error::Error,
    ops::{self, Letter, Values},
    templates::local_time,
};

pub(super) async fn confirmed(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let event: BookingChanged = delivery.read()?;
    let booking = booking(&event)?;
    let tickets: Vec<_> = event.tickets.iter().map(|its| ticket(its, booking)).collect();
    let many = if tickets.len() == 1 { "ticket" } else { "tickets" };
    let mut values = words(booking)?;
    let starts_at = Timestamp::from_micros(event.starts_at_us);
    values.extend([
        ("tickets", tickets.into()),
        ("starts_at", local_time(starts_at, &event.time_zone).into()),
        ("venue_name", event.venue_name.as_str().into()),
    ]);
    let subject = format!("Your {many} for {}", booking.event_name);
    write(app, delivery, booking, ("booking_confirmed", subject, values)).await
}

/// Whoever gave a booking up before anything was offered has nothing to be told of.
pub(super) async fn cancelled(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let event: BookingChanged = delivery.read()?;
    let booking = booking(&event)?;
    if booking.total.is_none() {
        return Ok(());
    }
    let paid = [PaymentStatus::Captured, PaymentStatus::Refunding, PaymentStatus::Refunded];
    let refund = paid.contains(&booking.payment_status());
    let mut values = words(booking)?;
    values.insert("refund", refund.into());
    let subject = format!("Your booking for {} is cancelled", booking.event_name);
    write(app, delivery, booking, ("booking_cancelled", subject, values)).await
}

pub(super) async fn refunded(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let event: BookingChanged = delivery.read()?;
    let booking = booking(&event)?;
    let subject = format!("Refund for {}", booking.event_name);
    write(app, delivery, booking, ("booking_refunded", subject, words(booking)?)).await
}

/// Only whoever has paid in vain is told; a refusal at once was its own answer.
pub(super) async fn failed(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let event: BookingChanged = delivery.read()?;
    let booking = booking(&event)?;
    let money = [PaymentStatus::Authorized, PaymentStatus::Captured, PaymentStatus::Voided];
    if !money.contains(&booking.payment_status()) {
        return Ok(());
    }
    let subject = format!("Your booking for {} failed", booking.event_name);
    write(app, delivery, booking, ("booking_failed", subject, words(booking)?)).await
}

async fn write(
    app: &App,
    delivery: &Delivery,
    booking: &Booking,
    (template, subject, values): (&'static str, String, Values),
) -> Result<(), Error> {
    let account = wire::id("account_id", &booking.account_id)?;
    let event = delivery.id;
    let letter = Letter { event, account, template, subject, values, is_urgent: false };
    ops::write_mail(app, letter).await
}

fn booking(event: &BookingChanged) -> Result<&Booking, Failure> {
    event.booking.as_ref().ok_or_else(|| Failure::invalid("booking", "is required"))
}

/// What every mail about a booking names.
fn words(booking: &Booking) -> Result<Values, Failure> {
    let total = wire::money("booking.total", booking.total.as_ref())?;
    let total = if total.is_zero() { "free".to_owned() } else { total.to_string() };
    Ok(Values::from([
        ("reference", booking.reference.as_str().into()),
        ("event_name", booking.event_name.as_str().into()),
        ("total", total.into()),
    ]))
}

fn ticket(ticket: &Ticket, booking: &Booking) -> Value {
    let place = ticket.place.clone().unwrap_or_default();
    let mut lines = booking.lines.iter();
    let category = lines.find(|line| line.category == place.category);
    let category = category.map_or(place.category.as_str(), |line| line.category_name.as_str());
    let place = match place.seat.split('/').collect::<Vec<_>>().as_slice() {
        [section, row, number] => format!("{section}, row {row}, seat {number}"),
        _ => place.section.clone(),
    };
    json!({ "place": place, "category": category, "number": ticket.number, "code": ticket.code })
}
