//! How far bookings are behind the payments that were made for them: what new bookings have to wait
//! for.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::Timestamp;

/// What payments took lately on average, from their events to the ends of their bookings.
#[derive(Debug, Default)]
pub(crate) struct Lag(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    behind_us: u64,
    noted_at: Timestamp,
}

/// The share that one payment has in the mean, as its inverse.
const WEIGHT: u64 = 8;
/// One counts as no more than this: it may have waited for an operator.
const MOST: Duration = Duration::from_secs(4);
/// What is older says nothing any more.
const FRESH: Duration = Duration::from_secs(3);

impl Lag {
    /// What a payment `at` led to is done `now`.
    pub(crate) fn note(&self, at: Timestamp, now: Timestamp) {
        let took = micros(now.since(at).min(MOST));
        let mut seen = self.lock();
        let known = if now.since(seen.noted_at) > FRESH { took } else { seen.behind_us };
        seen.behind_us = (known * (WEIGHT - 1) + took) / WEIGHT;
        seen.noted_at = now;
    }

    /// How far bookings are behind.
    pub(crate) fn behind(&self, now: Timestamp) -> Duration {
        let seen = self.lock();
        let fresh = now.since(seen.noted_at) <= FRESH;
        Duration::from_micros(if fresh { seen.behind_us } else { 0 })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / WEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_late_payments_is_told_while_it_is_fresh() {
        let lag = Lag::default();
        let noon = Timestamp::from_seconds(1_782_820_800);
        assert_eq!(lag.behind(noon), Duration::ZERO);
        let late = |ms| noon.minus(Duration::from_millis(ms));
        lag.note(late(100), noon);
        assert_eq!(lag.behind(noon), Duration::from_millis(100));
        lag.note(late(900), noon);
        assert_eq!(lag.behind(noon), Duration::from_millis(200));
        lag.note(late(3_600_000), noon);
        assert!(lag.behind(noon) < Duration::from_secs(1), "{:?}", lag.behind(noon));
        assert_eq!(lag.behind(noon.plus(FRESH * 2)), Duration::ZERO);
    }
}
