//! How many of a line are served now, so that they are never more a minute than its event wants.

use kernel::Timestamp;

/// What serving one place costs: a place a minute is 1 a microsecond.
const PLACE: u64 = 60_000_000;
/// A part of a place that comes in between two looks is kept though the bucket is full, if somebody
/// looks this often, in microseconds: else a busy line would lose some of its rate to rounding.
const LOOK: u64 = 250_000;

/// A bucket of places to be served: begins empty, and has room for one second's worth, or for one.
#[derive(Debug)]
pub(crate) struct Pace {
    saved: u64,
    at: Timestamp,
}

impl Pace {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { saved: 0, at: now }
    }

    /// How many may be served now.
    pub(crate) fn due(&mut self, per_minute: u32, now: Timestamp) -> u32 {
        let rate = u64::from(per_minute);
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.at = now;
        let most = (per_minute / 60).max(1);
        let part = (rate * LOOK).min(PLACE - 1);
        let room = PLACE.saturating_mul(most.into()).saturating_add(part);
        let earned = self.saved.saturating_add(passed.saturating_mul(rate));
        self.saved = earned.min(room);
        u32::try_from(self.saved / PLACE).map_or(most, |due| due.min(most))
    }

    /// So many were served.
    pub(crate) fn spend(&mut self, places: usize) {
        self.saved = self.saved.saturating_sub(PLACE.saturating_mul(places as u64));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_minute_sees_more_than_its_rate_and_a_busy_line_sees_nearly_as_many(
            per_minute in 1..100_000_u32,
            steps in prop::collection::vec((1..3_000_u64, 0..5_000_u32), 1..200),
        ) {
            let start = Timestamp::from_seconds(1_000);
            let (mut pace, mut now, mut served) = (Pace::new(start), start, 0_u64);
            let mut worth = 0_u64;
            for (millis, waiting) in steps {
                now = now.plus(Duration::from_millis(millis));
                let due = pace.due(per_minute, now);
                let room = (per_minute / 60).max(1);
                prop_assert!(due <= room, "a burst of {} at {} a minute", due, per_minute);
                let places = due.min(waiting);
                pace.spend(places as usize);
                served += u64::from(places);
                let most = now.since(start).as_micros() * u128::from(per_minute) / 60_000_000;
                prop_assert!(u128::from(served) <= most, "{} served, of {}", served, most);
                worth += u64::from(due);
            }
            prop_assert!(served <= worth);
        }
    }

    #[test]
    fn a_line_that_is_always_full_is_served_at_its_rate_and_evenly() {
        for per_minute in [1, 7, 60, 1_200, 90_000] {
            let start = Timestamp::from_seconds(1_000);
            let mut pace = Pace::new(start);
            let mut served = 0;
            for tick in 1..=3_000 {
                let due = pace.due(per_minute, start.plus(Duration::from_millis(200 * tick)));
                pace.spend(due as usize);
                served += due;
            }
            assert_eq!(served, per_minute * 10, "in ten minutes");
        }
    }
}
