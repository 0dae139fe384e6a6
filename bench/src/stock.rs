//! What is asked for in a run: each wish is for places that nobody else asks for, so that every
//! hold stands and its cost is measured, not the cost of refusals.

use std::sync::atomic::{AtomicU64, Ordering};

use testkit::SeededIds;
use wire::pb::{
    event::v1::{Row, SeatingPlan, Section, SectionKind},
    kernel::v1::{Choice, choice},
};

/// The price category of all places.
pub(crate) const CATEGORY: &str = "normal";
/// The section of seats.
pub(crate) const HALL: &str = "hall";
/// The section of admissions.
const FLOOR: &str = "floor";
/// Seats in a row of the hall.
pub(crate) const ROW_SEATS: u32 = 100;
const SEATS_A_HOLD: usize = 2;

/// A house of `seats` seats and room for `admissions`; either may be none.
pub(crate) fn plan(seats: u32, admissions: u32) -> SeatingPlan {
    let row = |row: u32| Row {
        name: row.to_string(),
        first_number: 1,
        seats: ROW_SEATS,
        ..Row::default()
    };
    let hall = Section {
        key: HALL.into(),
        name: HALL.into(),
        kind: SectionKind::Seated.into(),
        category: CATEGORY.into(),
        capacity: 0,
        rows: (0..seats / ROW_SEATS).map(row).collect(),
    };
    let floor = Section {
        key: FLOOR.into(),
        name: FLOOR.into(),
        kind: SectionKind::Admission.into(),
        category: CATEGORY.into(),
        capacity: admissions,
        rows: vec![],
    };
    let sections = [(seats, hall), (admissions, floor)];
    let sections = sections.into_iter().filter(|(places, _)| *places > 0);
    SeatingPlan { sections: sections.map(|(_, section)| section).collect() }
}

/// Wishes of one kind, handed out one by one to all who call.
pub(crate) struct Stock {
    events: Vec<String>,
    /// Seats in random order, or none where admissions are asked for.
    seats: Vec<u32>,
    /// How many holds an event has places for.
    per_event: u64,
    limit: AtomicU64,
    next: AtomicU64,
}

impl Stock {
    /// One admission a hold, `per_event` to each event.
    pub(crate) fn admissions(events: Vec<String>, per_event: u32) -> Self {
        Self::new(events, Vec::new(), per_event.into())
    }

    /// Two seats a hold out of these seats of each event, in random order.
    pub(crate) fn seats(events: Vec<String>, seats: std::ops::Range<u32>) -> Self {
        let mut seats: Vec<u32> = seats.collect();
        let dice = SeededIds::new(1);
        for (at, left) in (1..seats.len()).rev().zip((2_u64..=seats.len() as u64).rev()) {
            seats.swap(at, usize::try_from(dice.below(left)).unwrap_or(at));
        }
        let per_event = seats.len() / SEATS_A_HOLD;
        Self::new(events, seats, per_event as u64)
    }

    fn new(events: Vec<String>, seats: Vec<u32>, per_event: u64) -> Self {
        let limit = AtomicU64::new(per_event * events.len() as u64);
        Self { events, seats, per_event, limit, next: AtomicU64::new(0) }
    }

    /// Hands out no more than `holds` from here on.
    pub(crate) fn allow(&self, holds: u64) {
        let all = self.per_event * self.events.len() as u64;
        let limit = all.min(self.next.load(Ordering::Relaxed) + holds);
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The next wish: its event, and what of it. Nothing once all is handed out.
    pub(crate) fn next(&self) -> Option<(&str, Choice)> {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |number| (number < limit).then_some(number + 1);
        let number = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        // Event by event: one of them is hot, as in an on-sale.
        let event = self.events.get(usize::try_from(number / self.per_event).ok()?)?;
        let at = usize::try_from(number % self.per_event).ok()? * SEATS_A_HOLD;
        let wish = match self.seats.get(at..at + SEATS_A_HOLD) {
            None => {
                let section = FLOOR.to_owned();
                choice::Wish::Admissions(choice::Admissions { section, quantity: 1 })
            }
            Some(seats) => {
                let name =
                    |seat: &u32| format!("{HALL}/{}/{}", seat / ROW_SEATS, seat % ROW_SEATS + 1);
                choice::Wish::Seats(choice::Seats { seats: seats.iter().map(name).collect() })
            }
        };
        Some((event, Choice { wish: Some(wish) }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_place_is_handed_out_once() {
        let stock = Stock::seats(vec!["a".into(), "b".into()], 200..1_200);
        let mut seen = HashSet::new();
        while let Some((event, choice)) = stock.next() {
            let Some(choice::Wish::Seats(wished)) = choice.wish else { panic!("seats") };
            assert_eq!(wished.seats.len(), SEATS_A_HOLD);
            for seat in wished.seats {
                assert!(seen.insert((event.to_owned(), seat)));
            }
        }
        assert_eq!(seen.len(), 2_000);
        assert!(!seen.contains(&("a".to_owned(), "hall/1/100".to_owned())));
        assert!(seen.contains(&("a".to_owned(), "hall/2/1".to_owned())));
    }

    #[test]
    fn no_more_is_handed_out_than_was_allowed() {
        let stock = Stock::admissions(vec!["a".into()], 10);
        for allowed in [3, 3, 9] {
            stock.allow(allowed);
            let handed_out = std::iter::from_fn(|| stock.next()).count() as u64;
            assert_eq!(handed_out, allowed.min(10 - if allowed == 9 { 6 } else { 0 }));
        }
    }
}
