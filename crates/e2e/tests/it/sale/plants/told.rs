//! Untruths in the journal: what somebody was told, but for a change.

use ::audit::Acknowledged;
use uuid::Uuid;

use crate::sale::journal::Entries;

/// Adds what somebody was told of a confirmed booking that costs something, but for a change.
pub(super) fn retell(entries: &mut Entries, change: impl FnOnce(&mut Acknowledged)) {
    let confirmed = |told: &&Acknowledged| {
        matches!(told, Acknowledged::Booking { status, total_minor: Some(1..), .. }
            if status == "confirmed")
    };
    // The last thing that was told of it, so that it did not end cancelled.
    let mut told = entries.told.iter().rev();
    let mut told = told.find(confirmed).expect("a confirmed booking").clone();
    change(&mut told);
    entries.told.push(told);
}

pub(super) fn refuse(told: &mut Acknowledged) {
    if let Acknowledged::Booking { http, booking, status, code, .. } = told {
        (*http, *booking) = (409, None);
        status.clear();
        "PLANTED".clone_into(code);
    }
}

/// Adds what somebody was told of a place, but for a change.
pub(super) fn give(
    entries: &mut Entries,
    change: impl FnOnce(&mut Uuid, &mut u64, &mut String, &mut Option<Uuid>),
) {
    let mut told = entries.told.iter().rev();
    let place = told.find(|told| matches!(told, Acknowledged::Place { .. }));
    let mut place = place.expect("a place").clone();
    if let Acknowledged::Place { account, number, status, booking, .. } = &mut place {
        change(account, number, status, booking);
    }
    entries.told.push(place);
}
