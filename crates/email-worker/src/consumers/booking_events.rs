//! Bookings: tickets, and what became of them and of the money.

use kernel::{Failure, Timestamp};
use minijinja::{Value, context};
use platform::bus::Delivery;
use wire::pb::{
    booking::v1::{Booking, BookingChanged, PaymentStatus},
    ticket::v1::Ticket,
};

use crate::{
    app::App,
    error::Error,
    ops::{self, Letter},
    templates::{local_time, qr_image},
};

pub(super) async fn confirmed(app: &App, delivery: &Delivery) -> Result<(), Error> {
    let event: BookingChanged = delivery.read()?;
    let booking = booking(&event)?;
    let tickets = event.tickets.iter().map(|its| ticket(its, booking));
    let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
    let many = if tickets.len() == 1 { "ticket" } else { "tickets" };
    let values = context!(
        tickets => tickets,
        starts_at => local_time(Timestamp::from_micros(event.starts_at_us), &event.time_zone),
        venue_name => &event.venue_name,
        ..words(booking)?
    );
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
    let values = context!(refund => refund, ..words(booking)?);
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
    (template, subject, values): (&'static str, String, Value),
) -> Result<(), Error> {
    let letter = Letter { event: delivery.id, template, subject, values };
    ops::write_mail(app, wire::id("account_id", &booking.account_id)?, letter).await
}

fn booking(event: &BookingChanged) -> Result<&Booking, Failure> {
    event.booking.as_ref().ok_or_else(|| Failure::invalid("booking", "is required"))
}

/// What every mail about a booking names.
fn words(booking: &Booking) -> Result<Value, Failure> {
    let total = wire::money("booking.total", booking.total.as_ref())?;
    let total = if total.is_zero() { "free".to_owned() } else { total.to_string() };
    Ok(context!(
        reference => &booking.reference, event_name => &booking.event_name, total => total
    ))
}

fn ticket(ticket: &Ticket, booking: &Booking) -> Result<Value, Failure> {
    let place = ticket.place.clone().unwrap_or_default();
    let mut lines = booking.lines.iter();
    let category = lines.find(|line| line.category == place.category);
    let category = category.map_or(place.category.as_str(), |line| line.category_name.as_str());
    let place = match place.seat.split('/').collect::<Vec<_>>().as_slice() {
        [section, row, number] => format!("{section}, row {row}, seat {number}"),
        _ => place.section.clone(),
    };
    Ok(context!(
        place => place,
        category => category,
        number => &ticket.number,
        code => &ticket.code,
        image => qr_image(&ticket.code)?,
    ))
}
