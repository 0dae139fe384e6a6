//! Who gets what when many ask at once: first come first served, all or nothing for each.

use std::collections::{HashMap, HashSet};

use kernel::{AccountId, EventId, HoldId, SeatRef, Timestamp};

use super::hold::{Hold, HoldStatus, Places};

/// What one request of a batch asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The hold it wants made.
    pub hold_id: HoldId,
    /// The event.
    pub event_id: EventId,
    /// For whom.
    pub account_id: AccountId,
    /// A digest of the wish.
    pub fingerprint: &'a str,
    /// The places.
    pub places: &'a Places,
    /// When it asks.
    pub now: Timestamp,
}

/// What the database knows of a batch's wishes before it is decided.
#[derive(Debug, Default)]
pub struct Known {
    /// Holds that were made before under the ids of the batch.
    pub holds: HashMap<HoldId, Hold>,
    /// Wished seats that are taken; until when, if they are only held.
    pub claims: HashMap<EventId, HashMap<SeatRef, Option<Timestamp>>>,
    /// Free admissions of the wished sections.
    pub free: HashMap<EventId, HashMap<String, i64>>,
}

/// What is decided for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It gets its places.
    Granted,
    /// It was answered before: by the hold in the database.
    Repeated,
    /// It is asked twice in the batch: the answer is that of the request at this index.
    SameAs(usize),
    /// Its hold id was used for another wish.
    Mismatch,
    /// Its hold was made before and is over.
    Over(HoldStatus),
    /// Seats of it are taken.
    Taken {
        /// Which.
        seats: Vec<SeatRef>,
        /// Whether a hold on one of them has lapsed and only needs to be cleared away.
        lapsed: bool,
        /// Whether a request of the same batch took one, which may still come to nothing.
        by_neighbour: bool,
    },
    /// The section has no room for it.
    SoldOut {
        /// How many admissions it has left.
        free: i64,
        /// Whether requests of the same batch took some, which may still come to nothing.
        by_neighbour: bool,
    },
}

/// Decides a batch in order.
#[must_use]
pub fn decide(batch: &[Asked<'_>], known: &Known) -> Vec<Verdict> {
    let mut taken: HashSet<(EventId, &SeatRef)> = HashSet::new();
    let mut used: HashMap<(EventId, &str), i64> = HashMap::new();
    let mut granted: HashMap<HoldId, usize> = HashMap::new();
    let mut verdicts = Vec::with_capacity(batch.len());
    for (index, asked) in batch.iter().enumerate() {
        let verdict = match before(batch, asked, known, &granted) {
            Some(verdict) => verdict,
            None => match asked.places {
                Places::Seats(seats) => decide_seats(asked, seats, known, &mut taken),
                Places::Admissions { section, quantity } => {
                    let used = used.entry((asked.event_id, section)).or_default();
                    let room = known.free.get(&asked.event_id).and_then(|f| f.get(section));
                    let room = room.copied().unwrap_or(0);
                    decide_admissions(room, i64::from(*quantity), used)
                }
            },
        };
        if verdict == Verdict::Granted {
            granted.insert(asked.hold_id, index);
        }
        verdicts.push(verdict);
    }
    verdicts
}

/// The answer to a request whose hold id was seen before.
fn before(
    batch: &[Asked<'_>],
    asked: &Asked<'_>,
    known: &Known,
    granted: &HashMap<HoldId, usize>,
) -> Option<Verdict> {
    if let Some(hold) = known.holds.get(&asked.hold_id) {
        let same = hold.event_id == asked.event_id
            && hold.account_id == asked.account_id
            && hold.fingerprint == asked.fingerprint;
        return Some(match hold.status {
            _ if !same => Verdict::Mismatch,
            HoldStatus::Held | HoldStatus::Issued => Verdict::Repeated,
            status => Verdict::Over(status),
        });
    }
    let index = *granted.get(&asked.hold_id)?;
    let first = batch.get(index)?;
    let same = first.event_id == asked.event_id
        && first.account_id == asked.account_id
        && first.fingerprint == asked.fingerprint;
    Some(if same { Verdict::SameAs(index) } else { Verdict::Mismatch })
}

fn decide_seats<'a>(
    asked: &Asked<'_>,
    seats: &'a [SeatRef],
    known: &Known,
    taken: &mut HashSet<(EventId, &'a SeatRef)>,
) -> Verdict {
    let claims = known.claims.get(&asked.event_id);
    let (mut refused, mut lapsed, mut by_neighbour) = (Vec::new(), false, false);
    for seat in seats {
        if let Some(until) = claims.and_then(|claims| claims.get(seat)) {
            lapsed |= until.is_some_and(|until| until <= asked.now);
            refused.push(seat.clone());
        } else if taken.contains(&(asked.event_id, seat)) {
            by_neighbour = true;
            refused.push(seat.clone());
        }
    }
    if !refused.is_empty() {
        return Verdict::Taken { seats: refused, lapsed, by_neighbour };
    }
    taken.extend(seats.iter().map(|seat| (asked.event_id, seat)));
    Verdict::Granted
}

fn decide_admissions(room: i64, wanted: i64, used: &mut i64) -> Verdict {
    let free = room - *used;
    if wanted > free {
        return Verdict::SoldOut { free, by_neighbour: *used > 0 };
    }
    *used += wanted;
    Verdict::Granted
}

#[cfg(test)]
mod tests;
