//! Every step is one that the state machine knows, and everybody who has to learn of it does: one
//! event a step, one mail an event.

use std::collections::{BTreeMap, BTreeSet};

use super::{counted, differing};
use crate::sale::facts::{Event, Facts, Step};

/// Where a booking may go, by status; written down here once more, on purpose.
const WAYS: &[(&str, &[&str])] = &[
    ("PENDING", &["RESERVING", "CANCELLED", "FAILED", "EXPIRED"]),
    ("RESERVING", &["SEATS_RESERVED", "CANCELLED", "FAILED", "EXPIRED"]),
    (
        "SEATS_RESERVED",
        &["SEATS_RESERVED", "PAYMENT_PENDING", "CONFIRMED", "CANCELLED", "FAILED", "EXPIRED"],
    ),
    (
        "PAYMENT_PENDING",
        &["PAYMENT_PROCESSING", "PAYMENT_FAILED", "CANCELLED", "FAILED", "EXPIRED"],
    ),
    (
        "PAYMENT_FAILED",
        &[
            "PAYMENT_PENDING",
            "PAYMENT_PROCESSING",
            "PAYMENT_FAILED",
            "CANCELLED",
            "FAILED",
            "EXPIRED",
        ],
    ),
    ("PAYMENT_PROCESSING", &["PAYMENT_PROCESSING", "CONFIRMED", "CANCELLED", "FAILED"]),
    ("CONFIRMED", &["CANCELLED"]),
    // Only what becomes of the money.
    ("CANCELLED", &["CANCELLED"]),
    ("FAILED", &["FAILED"]),
    ("EXPIRED", &["EXPIRED"]),
];

/// The event that tells of each status; none for those that nobody has to learn of.
const KINDS: [(&str, &str); 8] = [
    ("SEATS_RESERVED", "booking.seats_reserved"),
    ("PAYMENT_PENDING", "booking.payment_requested"),
    ("PAYMENT_PROCESSING", "booking.payment_processing"),
    ("PAYMENT_FAILED", "booking.payment_failed"),
    ("CONFIRMED", "booking.confirmed"),
    ("CANCELLED", "booking.cancelled"),
    ("FAILED", "booking.failed"),
    ("EXPIRED", "booking.expired"),
];

/// The mail that each event leads to.
const MAILS: [(&str, &str); 3] = [
    ("booking.confirmed", "booking_confirmed"),
    ("booking.cancelled", "booking_cancelled"),
    ("booking.refunded", "booking_refunded"),
];

fn histories(facts: &Facts) -> BTreeMap<&str, Vec<&Step>> {
    let mut histories: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    for step in &facts.steps {
        histories.entry(&step.booking).or_default().push(step);
    }
    histories
}

/// Histories with a gap or a step that is none, or that don't end where the booking is.
pub(crate) fn broken_histories(facts: &Facts) -> Vec<String> {
    let histories = histories(facts);
    let mut found = Vec::new();
    for booking in &facts.bookings {
        let mut at = "PENDING";
        for step in histories.get(booking.id.as_str()).into_iter().flatten() {
            if step.from != at {
                let words = format!("from {} after {at}", step.from);
                found.push(format!("history of {}: a gap: {words}", booking.reference));
            }
            let ways = WAYS.iter().find(|(from, _)| *from == step.from);
            if !ways.is_some_and(|(_, to)| to.contains(&step.to.as_str())) {
                let words = format!("{} to {} by {}", step.from, step.to, step.input);
                found.push(format!("history of {}: no way from {words}", booking.reference));
            }
            at = &step.to;
        }
        if at != booking.status {
            let words = format!("ends {at}, but it is {}", booking.status);
            found.push(format!("history of {} {words}", booking.reference));
        }
    }
    found
}

/// The events that a booking's history stands for.
fn expected(history: &[&Step]) -> Vec<&'static str> {
    let mut kinds = vec!["booking.opened"];
    for step in history {
        let again = step.input == "PAYMENT_DECLINED";
        if step.input == "REFUNDED" {
            kinds.push("booking.refunded");
        } else if step.from != step.to || again {
            let kind = KINDS.iter().find(|(status, _)| *status == step.to);
            kinds.extend(kind.map(|(_, kind)| *kind));
        }
    }
    kinds
}

/// Events that are missing, doubled or out of order, and logs with a hole.
pub(crate) fn lost_events(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let ids = counted(facts.events.iter().map(|event| event.id.as_str()));
    let doubled = ids.iter().filter(|(_, count)| **count > 1);
    found.extend(doubled.map(|(id, _)| format!("event {id} is in the log twice")));
    for (topic, last) in &facts.topics {
        let numbers = facts.events.iter().filter(|event| event.topic == *topic);
        if !numbers.map(|event| event.number).eq(1..=*last) {
            found.push(format!("the log of {topic} has a hole"));
        }
    }
    let told = |topic: &str| {
        let mut told: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in facts.events.iter().filter(|event| event.topic == topic) {
            told.entry(&event.key).or_default().push(event);
        }
        told
    };
    let (of_bookings, of_payments) = (told("booking-events"), told("payment-events"));
    let histories = histories(facts);
    for booking in &facts.bookings {
        let id = booking.id.as_str();
        let expected = expected(histories.get(id).map_or(&[], Vec::as_slice));
        let told = of_bookings.get(id).into_iter().flatten().map(|event| event.kind.as_str());
        let told: Vec<_> = told.collect();
        if told != expected {
            let words = format!("told {told:?}, not {expected:?}");
            found.push(format!("events of {}: {words}", booking.reference));
        }
    }
    for payment in facts.payments.iter().filter(|payment| payment.captured_minor > 0) {
        let told = of_payments.get(payment.booking.as_str()).into_iter().flatten();
        let told = told.filter(|event| event.kind == "payment.captured").count();
        if told != 1 {
            found.push(format!("the capture of payment {} was told {told} times", payment.id));
        }
    }
    found.extend(lost_seat_events(facts));
    found
}

/// Holds whose events don't add up to what they are.
fn lost_seat_events(facts: &Facts) -> Vec<String> {
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in facts.events.iter().filter(|event| event.topic == "ticket-events") {
        if let Some(hold) = event.content["hold_id"].as_str() {
            told.entry(hold).or_default().push(&event.kind);
        }
    }
    let tickets: BTreeSet<_> = facts.tickets.iter().map(|its| its.booking.as_str()).collect();
    let live = facts.tickets.iter().filter(|ticket| ticket.live);
    let live: BTreeSet<_> = live.map(|ticket| ticket.booking.as_str()).collect();
    let mut found = Vec::new();
    for hold in &facts.holds {
        let id = hold.id.as_str();
        let told = told.get(id).map_or(&[][..], Vec::as_slice);
        let count = |kind: &str| told.iter().filter(|its| **its == kind).count();
        let last = match (hold.held, live.contains(id)) {
            (true, _) => "seats.held",
            (_, true) => "seats.sold",
            _ => "seats.released",
        };
        let sold = usize::from(tickets.contains(id));
        let right = count("seats.held") == 1 && count("seats.sold") == sold;
        if !right || told.last() != Some(&last) {
            found.push(format!("events of hold {id} are {told:?}; last should be {last}"));
        }
    }
    found
}

/// Events without their mail, and mails without their event.
pub(crate) fn lost_mails(facts: &Facts) -> Vec<String> {
    let addresses: BTreeMap<_, _> =
        facts.contacts.iter().map(|(account, email)| (account.as_str(), email.as_str())).collect();
    let mut expected = Vec::new();
    for event in facts.events.iter().filter(|event| event.topic == "booking-events") {
        let booking = &event.content["booking"];
        let text = |key: &str| booking[key].as_str().unwrap_or_default();
        // Who gives a booking up before anything was offered is not written to.
        let offered = !booking["total"].is_null();
        let template = MAILS.iter().find(|(kind, _)| offered && *kind == event.kind);
        if let Some((_, template)) = template {
            let to = addresses.get(text("account_id")).copied().unwrap_or_default();
            expected.push((*template, text("reference"), to));
        }
    }
    let written = facts.mails.iter().filter_map(|mail| {
        let known = MAILS.iter().any(|(_, template)| *template == mail.template);
        let mut words = mail.text.split(|c: char| !c.is_ascii_alphanumeric());
        let reference = words.find(|word| word.starts_with("BKG"));
        known.then(|| (mail.template.as_str(), reference.unwrap_or_default(), mail.to.as_str()))
    });
    let differing = differing(&counted(written), &counted(expected));
    let words = differing.into_iter().map(|((template, reference, to), written, expected)| {
        format!("mail {template} of {reference} to {to}: {written} written, {expected} expected")
    });
    words.collect()
}
