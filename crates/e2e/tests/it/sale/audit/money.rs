//! Money and tickets match, to the cent, and the provider's own books say the same as ours.

use std::collections::{BTreeMap, BTreeSet};

use super::{by_id, counted, summed};
use crate::sale::facts::{Booking, Facts};

/// Confirmed bookings without all their tickets and their money, and other bookings with any.
pub(crate) fn without_tickets(facts: &Facts) -> Vec<String> {
    let live = facts.tickets.iter().filter(|ticket| ticket.live);
    let prices = summed(live.clone().map(|its| (its.booking.as_str(), its.price_minor)));
    let live = counted(live.map(|ticket| ticket.booking.as_str()));
    let taken = taken(facts);
    let mut found = Vec::new();
    for booking in &facts.bookings {
        let count =
            |counts: &BTreeMap<&str, i64>| counts.get(booking.id.as_str()).copied().unwrap_or(0);
        let (tickets, price, taken) = (count(&live), count(&prices), count(&taken));
        let (places, total) = match booking.status.as_str() {
            "CONFIRMED" => (booking.places as i64, booking.total_minor),
            _ => (0, 0),
        };
        if tickets != places {
            found.push(wrong(booking, &format!("{tickets} tickets for {places} places")));
        }
        if taken != total {
            found.push(wrong(booking, &format!("{taken} taken of a total of {total}")));
        }
        if price != total {
            found.push(wrong(booking, &format!("its tickets cost {price}, not {total}")));
        }
        if !fits(booking) {
            found.push(wrong(booking, &format!("payment is {}", booking.payment_status)));
        }
    }
    found
}

/// What the provider has taken for each booking and not given back.
fn taken(facts: &Facts) -> BTreeMap<&str, i64> {
    let back = facts.provider_refunds.iter().map(|(intent, minor)| (intent.as_str(), *minor));
    let back = summed(back);
    summed(facts.intents.iter().map(|intent| {
        let back = back.get(intent.id.as_str()).copied().unwrap_or(0);
        (intent.booking.as_str(), intent.received_minor - back)
    }))
}

fn wrong(booking: &Booking, what: &str) -> String {
    format!("booking {} ({}): {what}", booking.reference, booking.status)
}

/// Whether what a booking says of its money goes with its status.
fn fits(booking: &Booking) -> bool {
    let status = booking.payment_status.as_str();
    match booking.status.as_str() {
        "CONFIRMED" if booking.total_minor == 0 => status == "NOT_REQUIRED",
        "CONFIRMED" => status == "CAPTURED",
        _ => !["AUTHORIZED", "CAPTURED", "REFUNDING"].contains(&status),
    }
}

/// Money at the provider that nobody can explain, or that our books have otherwise.
pub(crate) fn unexplained(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let bookings = by_id(facts);
    let payments: BTreeMap<_, _> =
        facts.payments.iter().filter_map(|its| Some((its.intent.as_deref()?, its))).collect();
    let back = facts.provider_refunds.iter().map(|(intent, minor)| (intent.as_str(), *minor));
    let back = summed(back);
    for intent in &facts.intents {
        if !bookings.contains_key(intent.booking.as_str()) {
            found.push(format!("intent {} ({}) of no booking", intent.id, intent.status));
        }
        let Some(payment) = payments.get(intent.id.as_str()) else {
            found.push(format!("intent {} ({}) of no payment", intent.id, intent.status));
            continue;
        };
        let ours = (payment.captured_minor, payment.refunded_minor);
        let theirs = (intent.received_minor, back.get(intent.id.as_str()).copied().unwrap_or(0));
        if ours != theirs {
            found.push(format!("payment {}: {ours:?} here, {theirs:?} there", payment.id));
        }
        if payment.booking != intent.booking {
            found.push(format!("payment {} and its intent differ in the booking", payment.id));
        }
    }
    let known: BTreeSet<_> = facts.intents.iter().map(|intent| intent.id.as_str()).collect();
    for payment in &facts.payments {
        let unknown = payment.intent.as_deref().is_some_and(|intent| !known.contains(intent));
        let booking = bookings.get(payment.booking.as_str());
        if unknown || booking.is_none() {
            found.push(format!("payment {} of nothing", payment.id));
        }
        if booking.is_some_and(|its| its.total_minor != payment.amount_minor) {
            found.push(format!("payment {} is not of the booking's total", payment.id));
        }
        let named = booking.and_then(|booking| booking.payment.as_deref());
        if named.is_some_and(|named| named != payment.id) {
            found.push(format!("payment {} is not the one its booking names", payment.id));
        }
    }
    for ticket in &facts.tickets {
        let booking = bookings.get(ticket.booking.as_str());
        if booking.is_none_or(|booking| booking.event != ticket.event) {
            found.push(format!("a ticket of section {} of no booking", ticket.section));
        }
    }
    found
}
