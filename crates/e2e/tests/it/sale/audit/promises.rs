//! What clients were told stays true: one booking a key, the same answer again, a place for good.

use std::collections::{BTreeMap, BTreeSet};

use super::{by_id, counted};
use crate::sale::{
    facts::Facts,
    journal::{Answer, Entries, Wish},
};

/// Keys that are stuck, stand for nothing or for two things, and bookings that were shown as they
/// are not.
pub(crate) fn broken_keys(facts: &Facts, entries: &Entries) -> Vec<String> {
    let mut found = entries.contradictions.clone();
    let keys = counted(facts.bookings.iter().map(|its| (its.account.as_str(), its.key.as_str())));
    for ((_, key), count) in keys.iter().filter(|(_, count)| **count > 1) {
        found.push(format!("key {key} stands for {count} bookings"));
    }
    let by_key: BTreeMap<_, _> = facts
        .bookings
        .iter()
        .map(|booking| ((booking.account.as_str(), booking.key.as_str()), booking))
        .collect();
    for wish in &entries.wishes {
        let booking = by_key.get(&(wish.account.as_str(), wish.key.as_str()));
        let status = booking.map(|booking| booking.status.as_str());
        match &wish.answer {
            None => found.push(format!("key {} is stuck: never answered", wish.key)),
            Some(Answer::Booking { id, .. }) => {
                if booking.is_none_or(|booking| booking.id != *id) {
                    found.push(format!("booking {id} of key {} is lost", wish.key));
                }
            }
            Some(Answer::Refused(why)) => {
                if status.is_some_and(|status| status != "FAILED") {
                    found.push(format!("key {} was refused ({why}), and is {status:?}", wish.key));
                }
            }
        }
        found.extend(shown_otherwise(wish, status));
    }
    found
}

fn shown_otherwise(wish: &Wish, status: Option<&str>) -> Option<String> {
    let kept = match (wish.seen_confirmed, wish.seen_cancelled) {
        (_, true) => status == Some("CANCELLED"),
        (true, _) => matches!(status, Some("CONFIRMED" | "CANCELLED")),
        _ => true,
    };
    (!kept).then(|| format!("key {} was shown as it is not: it is {status:?}", wish.key))
}

/// Places that are lost, given twice, or served without what they were promised.
pub(crate) fn lost_places(facts: &Facts, entries: &Entries) -> Vec<String> {
    let mut found = Vec::new();
    let given: BTreeSet<_> = entries
        .places
        .iter()
        .map(|place| (place.event.as_str(), place.number, place.account.as_str()))
        .collect();
    let numbers = counted(given.iter().map(|(event, number, _)| (*event, *number)));
    for ((event, number), count) in numbers.iter().filter(|(_, count)| **count > 1) {
        found.push(format!("place {number} of {event} was given to {count} accounts"));
    }
    let accounts = counted(given.iter().map(|(event, _, account)| (*event, *account)));
    for ((event, account), count) in accounts.iter().filter(|(_, count)| **count > 1) {
        found.push(format!("{account} has {count} places in {event}"));
    }
    let bookings = by_id(facts);
    for place in &entries.places {
        let (number, event) = (place.number, place.event.as_str());
        if place.end.is_empty() {
            found.push(format!("place {number} of {event} is lost"));
        }
        let line = facts.lines.iter().find(|(name, ..)| name.contains(event));
        if line.is_none_or(|(_, last, _)| (*last as u64) < number) {
            found.push(format!("place {number} of {event} is behind the end of its line"));
        }
        let Some(id) = &place.booking else {
            if place.wished && place.end == "completed" {
                found.push(format!("place {number} of {event} is completed without a booking"));
            }
            continue;
        };
        if bookings.get(id.as_str()).is_none_or(|booking| booking.account != place.account) {
            found.push(format!("place {number} of {event} names booking {id}, which is not its"));
        }
    }
    found
}
