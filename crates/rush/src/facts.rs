//! What must be so from the buyers' side: a place sold once, no more places than there are, nobody
//! told that all is sold while it can't be, the order of the queue kept, nobody lost in it.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
};

/// The two kinds of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Seats = 0,
    Admissions = 1,
}

/// How a place in the queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Waits,
    Admitted,
    Other,
}

/// A place in the queue, as its account is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlaceSeen {
    pub(crate) number: u64,
    pub(crate) serving: u64,
    pub(crate) standing: Standing,
}

/// What buyers know together.
#[derive(Debug)]
pub(crate) struct Facts {
    capacity: [i64; 2],
    /// Places that were asked for and not refused: no more than these can be taken.
    claimed: [AtomicI64; 2],
    /// How far the line had come when somebody was last told.
    serving: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Who has which seat.
    sold: HashMap<String, String>,
    admissions: u32,
    violations: Vec<String>,
    places: HashMap<u32, u64>,
    numbers: HashMap<u64, u32>,
}

/// More of them say no more.
const MOST_VIOLATIONS: usize = 50;

impl Facts {
    /// A hall with so many seats and admissions.
    pub(crate) fn new(seats: u32, admissions: u32) -> Self {
        Self {
            capacity: [seats.into(), admissions.into()],
            claimed: Default::default(),
            serving: AtomicU64::new(0),
            seen: Mutex::default(),
        }
    }

    /// Before places are asked for.
    pub(crate) fn asks(&self, kind: Kind, places: u32) {
        self.claims(kind).fetch_add(places.into(), SeqCst);
    }

    /// They were refused: these are taken by nobody.
    pub(crate) fn refused(&self, kind: Kind, places: u32) {
        self.claims(kind).fetch_sub(places.into(), SeqCst);
    }

    /// They were refused because nothing is left, which can't be while all that others may have
    /// leaves room. Whoever's hold has lapsed counts as if it had not, so that no answer is called
    /// false that is not.
    pub(crate) fn refused_as_sold_out(&self, kind: Kind, places: u32) {
        let before = self.claims(kind).fetch_sub(places.into(), SeqCst);
        if before <= self.capacity(kind) {
            let (claimed, capacity) = (before - i64::from(places), self.capacity(kind));
            self.violation(format!(
                "told \"sold out\" for {places} places while at most {claimed} of {capacity} were \
                 taken"
            ));
        }
    }

    /// A seat is somebody's, for good.
    pub(crate) fn sold_seat(&self, seat: &str, booking: &str) {
        let before = self.seen().sold.insert(seat.to_owned(), booking.to_owned());
        if let Some(before) = before.filter(|before| before != booking) {
            self.violation(format!("seat {seat} is sold twice: {before} and {booking}"));
        }
    }

    /// An admission is somebody's, for good.
    pub(crate) fn sold_admission(&self) {
        self.seen().admissions += 1;
    }

    /// Places that are sold for good.
    pub(crate) fn sold(&self) -> u64 {
        let seen = self.seen();
        seen.sold.len() as u64 + u64::from(seen.admissions)
    }

    /// How far the line has come, as far as anybody was told.
    pub(crate) fn serving(&self) -> u64 {
        self.serving.load(SeqCst)
    }

    /// An account was told about its place, asked for when the line had come to `known`.
    pub(crate) fn place(&self, account: u32, seen: &PlaceSeen, known: u64) {
        let number = seen.number;
        self.serving.fetch_max(seen.serving, SeqCst);
        let mut all = self.seen();
        let other = all.numbers.insert(number, account).filter(|other| *other != account);
        // Who comes back once the turn is over gets a later place.
        let before = all.places.insert(account, number).filter(|before| *before > number);
        drop(all);
        if let Some(other) = other {
            self.violation(format!("place {number} is given to accounts {other} and {account}"));
        }
        if let Some(before) = before {
            self.violation(format!("account {account} had place {before}, then {number}"));
        }
        if seen.standing == Standing::Waits && number <= known {
            self.violation(format!("place {number} waits though the line had come to {known}"));
        }
        if seen.standing == Standing::Admitted && number > seen.serving {
            let serving = seen.serving;
            self.violation(format!("place {number} is admitted before its turn, at {serving}"));
        }
    }

    /// Something that must not be.
    pub(crate) fn violation(&self, text: String) {
        let mut seen = self.seen();
        if seen.violations.len() < MOST_VIOLATIONS {
            seen.violations.push(text);
        }
    }

    /// All that was seen and must not be.
    pub(crate) fn violations(&self) -> Vec<String> {
        let over = i64::from(self.seen().admissions);
        if over > self.capacity(Kind::Admissions) {
            self.violation(format!("{over} admissions are sold"));
        }
        self.seen().violations.clone()
    }

    fn claims(&self, kind: Kind) -> &AtomicI64 {
        let [seats, admissions] = &self.claimed;
        if kind == Kind::Seats { seats } else { admissions }
    }

    fn capacity(&self, kind: Kind) -> i64 {
        let [seats, admissions] = self.capacity;
        if kind == Kind::Seats { seats } else { admissions }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_sold_twice_is_seen() {
        let facts = Facts::new(2, 1);
        facts.sold_seat("A/1", "first");
        facts.sold_seat("A/1", "first");
        facts.sold_admission();
        assert_eq!((facts.violations(), facts.sold()), (Vec::new(), 2));
        facts.sold_seat("A/1", "second");
        assert!(facts.violations()[0].contains("sold twice"));
        facts.sold_admission();
        assert_eq!(facts.violations().len(), 2, "more admissions than there are");
    }

    #[test]
    fn sold_out_is_false_only_if_it_must_be() {
        let facts = Facts::new(4, 0);
        facts.asks(Kind::Seats, 2);
        facts.asks(Kind::Seats, 2);
        facts.asks(Kind::Seats, 1);
        facts.refused_as_sold_out(Kind::Seats, 1);
        assert!(facts.violations().is_empty(), "the others may have had all four");
        facts.refused(Kind::Seats, 2);
        facts.asks(Kind::Seats, 2);
        facts.refused_as_sold_out(Kind::Seats, 2);
        assert_eq!(facts.violations().len(), 1, "two of four were taken at most");
    }

    #[test]
    fn a_place_out_of_order_is_seen() {
        let facts = Facts::new(1, 1);
        let told = |account, number, serving, standing, known| {
            facts.place(account, &PlaceSeen { number, serving, standing }, known);
        };
        told(1, 5, 4, Standing::Waits, 4);
        told(1, 5, 5, Standing::Waits, 4);
        told(1, 5, 5, Standing::Admitted, 5);
        told(1, 9, 6, Standing::Waits, 5);
        assert_eq!((facts.violations(), facts.serving()), (Vec::new(), 6));
        told(3, 7, 8, Standing::Waits, 7);
        told(4, 10, 8, Standing::Admitted, 8);
        told(5, 10, 8, Standing::Waits, 8);
        told(1, 8, 8, Standing::Other, 8);
        assert_eq!(facts.violations().len(), 4, "{:?}", facts.violations());
    }
}
