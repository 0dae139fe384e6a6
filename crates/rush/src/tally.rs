//! What happened, counted: latencies by step, refusals by reason, lives by their end, and the sale
//! second by second.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::model::End;

/// What takes time. Latency counts from the intended start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Taking a place in the queue.
    Join,
    /// From the place to the admission.
    Turn,
    /// Asking for one's place.
    Place,
    /// Looking at what is free.
    Look,
    /// Asking for places, and getting them.
    Hold,
    /// Asking for places, and being refused.
    Refusal,
    /// Being told to come again later.
    PutOff,
    /// Booking what is held.
    Book,
    /// Paying at the provider.
    Pay,
    /// From the intended payment to the news that the booking is confirmed.
    Confirmation,
    /// Others: lists, details, what is free.
    Browse,
    /// Others: the head of the queue.
    Poll,
    /// Others: edits and lists of those who sell.
    Edit,
}

impl Step {
    /// All of them, in the order of a journey.
    pub const ALL: [Self; 13] = [
        Self::Join,
        Self::Turn,
        Self::Place,
        Self::Look,
        Self::Hold,
        Self::Refusal,
        Self::PutOff,
        Self::Book,
        Self::Pay,
        Self::Confirmation,
        Self::Browse,
        Self::Poll,
        Self::Edit,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Turn => "turn",
            Self::Place => "place",
            Self::Look => "look",
            Self::Hold => "hold",
            Self::Refusal => "refusal",
            Self::PutOff => "put off",
            Self::Book => "book",
            Self::Pay => "pay",
            Self::Confirmation => "confirmation",
            Self::Browse => "browse",
            Self::Poll => "poll",
            Self::Edit => "edit",
        }
    }
}

/// What one second of the sale brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Second {
    /// Buyers whose time had come.
    pub arrived: u64,
    /// Bookings whose places were held.
    pub held: u64,
    /// Bookings that were paid.
    pub paid: u64,
    /// Bookings that were confirmed.
    pub ticketed: u64,
    /// Requests for places that were refused.
    pub refused: u64,
    /// Requests whose buyers were told to come again later.
    pub put_off: u64,
    /// Places held and tickets given, later than they should be.
    pub late: u64,
}

/// Latencies of one step, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Which step.
    pub step: Step,
    /// How many there were.
    pub count: u64,
    /// The fastest.
    pub min_ms: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// 99 of a hundred.
    pub p99_ms: f64,
    /// 999 of a thousand.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// All that is counted while a sale goes on.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) seconds: Vec<Second>,
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) lost: BTreeMap<String, u64>,
    pub(crate) ends: BTreeMap<End, u64>,
    pub(crate) held_places: u64,
    pub(crate) ticketed_places: u64,
    pub(crate) declined: u64,
    pub(crate) lapsed: u64,
    /// Requests that had to wait for one of those under way to end.
    pub(crate) late: u64,
    /// When the last place was held for the first time.
    pub(crate) sold_out_at: Option<Duration>,
    pub(crate) frames: u64,
    latencies: BTreeMap<Step, Histogram<u64>>,
}

/// The slowest that is told apart, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 2;
/// Seconds beyond count as the last one.
const MOST_SECONDS: usize = 100_000;

impl Tally {
    /// Changes the counts of the second that `at` is in.
    pub(crate) fn second(&self, at: Duration, change: impl FnOnce(&mut Second)) {
        let index = usize::try_from(at.as_secs()).unwrap_or(MOST_SECONDS).min(MOST_SECONDS);
        let mut counts = self.lock();
        if counts.seconds.len() <= index {
            counts.seconds.resize(index + 1, Second::default());
        }
        if let Some(second) = counts.seconds.get_mut(index) {
            change(second);
        }
    }

    /// A step that took so long.
    pub(crate) fn took(&self, step: Step, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(LONGEST_US);
        let mut counts = self.lock();
        if let Some(known) = counts.latencies.get_mut(&step) {
            known.saturating_record(micros);
        } else if let Ok(mut fresh) = Histogram::new_with_max(LONGEST_US, DIGITS) {
            fresh.saturating_record(micros);
            counts.latencies.insert(step, fresh);
        }
    }

    /// A refusal of any request, by its reason.
    pub(crate) fn refused(&self, step: &str, reason: &str) {
        *self.lock().refusals.entry(format!("{step}: {reason}")).or_default() += 1;
    }

    /// A request without an answer.
    pub(crate) fn lost(&self, step: &str, why: &str) {
        *self.lock().lost.entry(format!("{step}: {why}")).or_default() += 1;
    }

    /// Any of the other counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock());
    }

    /// All of it, as of now.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The sums of all seconds.
    pub(crate) fn total(&self) -> Second {
        self.seconds.iter().fold(Second::default(), |mut sum, second| {
            sum.arrived += second.arrived;
            sum.held += second.held;
            sum.paid += second.paid;
            sum.ticketed += second.ticketed;
            sum.refused += second.refused;
            sum.put_off += second.put_off;
            sum.late += second.late;
            sum
        })
    }

    /// The latencies of the steps that there were.
    pub(crate) fn latencies(&self) -> Vec<Latency> {
        let latency = |(step, histogram): (&Step, &Histogram<u64>)| {
            let at = |percent| histogram.value_at_percentile(percent) as f64 / 1_000.0;
            Latency {
                step: *step,
                count: histogram.len(),
                min_ms: histogram.min() as f64 / 1_000.0,
                p50_ms: at(50.0),
                p90_ms: at(90.0),
                p99_ms: at(99.0),
                p999_ms: at(99.9),
                max_ms: histogram.max() as f64 / 1_000.0,
            }
        };
        self.latencies.iter().map(latency).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_found_again() {
        let tally = Tally::default();
        for millis in 1..=100 {
            tally.took(Step::Hold, Duration::from_millis(millis));
        }
        tally.second(Duration::from_millis(2_300), |second| second.held += 2);
        tally.second(Duration::from_millis(300), |second| second.arrived += 1);
        tally.refused("hold", "SOLD_OUT");
        tally.count(|counts| *counts.ends.entry(End::SoldOut).or_default() += 1);
        let counts = tally.counts();
        let latencies = counts.latencies();
        let hold = &latencies[0];
        assert_eq!((latencies.len(), hold.count), (1, 100));
        assert!((49.0..52.0).contains(&hold.p50_ms) && (98.0..101.0).contains(&hold.p99_ms));
        assert_eq!(counts.seconds.len(), 3);
        assert_eq!((counts.total().held, counts.total().arrived), (2, 1));
        assert_eq!(counts.ends[&End::SoldOut], 1);
        assert_eq!(counts.refusals["hold: SOLD_OUT"], 1);
    }
}
