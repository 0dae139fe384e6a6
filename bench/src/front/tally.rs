//! What callers count together: how often each step was done, second by second, and how long it
//! took.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::Failure;

const LONGEST: Duration = Duration::from_secs(60);
const DIGITS: u8 = 2;

/// When what is done counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    /// From here on, once the platform is warm.
    pub(crate) from: Instant,
    /// Until here; nobody begins anything after.
    pub(crate) until: Instant,
}

/// Shared by the callers of one thread.
pub(crate) struct Tally {
    steps: &'static [&'static str],
    course: Cell<Course>,
    counts: RefCell<Counts>,
}

#[derive(Clone)]
struct Counts {
    /// For each step, how often it was done in each second of the course.
    seconds: Vec<Vec<u64>>,
    /// For each step, those of the last second that was told.
    told: Vec<u64>,
    /// For each step, how often in all, before the course and after it, too.
    all: Vec<u64>,
    /// For each step, in microseconds.
    latency: Vec<Histogram<u64>>,
    refusals: BTreeMap<String, u64>,
}

/// How one step went during the course.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    pub(crate) best_second: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Tally {
    /// Of these steps.
    pub(crate) fn new(steps: &'static [&'static str], course: Course) -> Result<Self, Failure> {
        let longest = u64::try_from(LONGEST.as_micros())?;
        let empty = Histogram::new_with_max(longest, DIGITS)?;
        let counts = Counts {
            seconds: vec![Vec::new(); steps.len()],
            told: vec![0; steps.len()],
            all: vec![0; steps.len()],
            latency: vec![empty; steps.len()],
            refusals: BTreeMap::new(),
        };
        Ok(Self { steps, course: Cell::new(course), counts: RefCell::new(counts) })
    }

    /// When it is.
    pub(crate) fn course(&self) -> Course {
        self.course.get()
    }

    /// The course is over, since nobody has anything to do any more.
    pub(crate) fn end_now(&self) {
        let course = self.course.get();
        self.course.set(Course { until: course.until.min(Instant::now()), ..course });
    }

    /// Whether something new may be begun.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.course.get().until
    }

    /// A step that was begun at `since` is done.
    pub(crate) fn did(&self, step: usize, since: Instant) {
        self.note(step, since, Instant::now());
    }

    /// A step that took so long is done, or was a while ago.
    pub(crate) fn took(&self, step: usize, took: Duration) {
        let now = Instant::now();
        self.note(step, now.checked_sub(took).unwrap_or(now), now);
    }

    fn note(&self, step: usize, since: Instant, now: Instant) {
        let mut counts = self.counts.borrow_mut();
        if let Some(all) = counts.all.get_mut(step) {
            *all += 1;
        }
        let Course { from, until } = self.course.get();
        if now < from || now >= until {
            return;
        }
        let second = now.duration_since(from).as_secs();
        let second = usize::try_from(second).unwrap_or(usize::MAX);
        if let Some(seconds) = counts.seconds.get_mut(step) {
            seconds.resize(seconds.len().max(second.saturating_add(1)), 0);
            seconds.iter_mut().skip(second).take(1).for_each(|count| *count += 1);
        }
        if let Some(latency) = counts.latency.get_mut(step) {
            let took = u64::try_from(now.duration_since(since).as_micros());
            latency.saturating_record(took.unwrap_or(u64::MAX));
        }
    }

    /// Somebody was refused.
    pub(crate) fn refused(&self, why: String) {
        *self.counts.borrow_mut().refusals.entry(why).or_default() += 1;
    }

    /// How often each step was done since this was last asked for, in a line.
    pub(crate) fn tell(&self) -> String {
        let mut counts = self.counts.borrow_mut();
        let all = counts.all.clone();
        let told = std::mem::replace(&mut counts.told, all.clone());
        let news = self.steps.iter().zip(all.iter().zip(told));
        let news = news.map(|(step, (all, told))| format!("{step} {}", all - told));
        let refused: u64 = counts.refusals.values().sum();
        format!("{}, refused so far {refused}", news.collect::<Vec<_>>().join(", "))
    }

    /// How a step went.
    pub(crate) fn pace(&self, step: usize) -> Option<Pace> {
        let counts = self.counts.borrow();
        let (seconds, latency) = (counts.seconds.get(step)?, counts.latency.get(step)?);
        let count: u64 = seconds.iter().sum();
        let Course { from, until } = self.course.get();
        let took = until.duration_since(from).as_secs_f64();
        let at_ms = |percent| latency.value_at_percentile(percent) as f64 / 1_000.0;
        Some(Pace {
            count,
            per_second: count as f64 / took,
            best_second: seconds.iter().copied().max().unwrap_or_default(),
            p50_ms: at_ms(50.0),
            p99_ms: at_ms(99.0),
        })
    }

    /// How often a step was done, before the course and after it, too.
    pub(crate) fn all(&self, step: usize) -> u64 {
        self.counts.borrow().all.get(step).copied().unwrap_or_default()
    }

    /// Who was refused why, in a line.
    pub(crate) fn refusals(&self) -> String {
        let counts = self.counts.borrow();
        let each = counts.refusals.iter().map(|(why, count)| format!("{count} {why}"));
        let all = each.collect::<Vec<_>>().join(", ");
        if all.is_empty() { "none".to_owned() } else { all }
    }
}

/// Its median and 99th percentile, in milliseconds.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} / {:.1}", self.p50_ms, self.p99_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_course_counts() {
        let now = Instant::now();
        let at = |seconds: f64| now + Duration::from_secs_f64(seconds);
        let tally = Tally::new(&["done"], Course { from: at(1.0), until: at(3.0) }).unwrap();
        tally.note(0, at(0.2), at(0.9));
        tally.note(0, at(0.9), at(1.0));
        assert_eq!(tally.tell(), "done 2, refused so far 0");
        tally.note(0, at(2.5), at(3.0));
        tally.refused("409 SOLD_OUT".to_owned());
        assert_eq!(tally.tell(), "done 1, refused so far 1");
        let pace = tally.pace(0).unwrap();
        assert_eq!((pace.count, pace.best_second, tally.all(0)), (1, 1, 3));
        assert!((pace.per_second - 0.5).abs() < 1e-9 && (99.0..101.0).contains(&pace.p50_ms));
        assert_eq!(tally.refusals(), "1 409 SOLD_OUT");
    }
}
