//! Nothing is left undone once everything has come to rest.

use crate::sale::facts::{Booking, Facts};

/// What has yet to happen: bookings on their way, money set aside, events and mails that wait.
pub(crate) fn unsettled(facts: &Facts) -> Vec<String> {
    let mut found = facts.leftovers.clone();
    let ended = ["CONFIRMED", "CANCELLED", "FAILED", "EXPIRED"];
    let rests = |its: &&Booking| ended.contains(&its.status.as_str()) && !its.open;
    for booking in facts.bookings.iter().filter(|booking| !rests(booking)) {
        let (status, money) = (&booking.status, &booking.payment_status);
        found.push(format!("booking {} is {status} {money}, unfinished", booking.reference));
    }
    let held = facts.holds.iter().filter(|hold| hold.held);
    found.extend(held.map(|hold| format!("hold {} is still held", hold.id)));
    let rests = ["captured", "refunded", "failed", "cancelled"];
    let open = facts.payments.iter().filter(|its| !rests.contains(&its.state.as_str()));
    found.extend(open.map(|payment| format!("payment {} is {}", payment.id, payment.state)));
    let rests = ["succeeded", "canceled"];
    let open = facts.intents.iter().filter(|its| !rests.contains(&its.status.as_str()));
    found.extend(open.map(|intent| format!("intent {} is {}", intent.id, intent.status)));
    let unsent = facts.mails.iter().filter(|mail| !mail.sent);
    found.extend(unsent.map(|mail| format!("a mail is not sent: {} {}", mail.template, mail.to)));
    for (group, topic, number) in &facts.offsets {
        let last = facts.topics.iter().find(|(name, _)| name == topic).map_or(0, |its| its.1);
        if *number != last {
            found.push(format!("{group} is at {number} of {last} in {topic}"));
        }
    }
    let waiting = facts.places.iter();
    found.extend(waiting.map(|(line, number, _)| format!("place {number} waits in {line}")));
    found
}
