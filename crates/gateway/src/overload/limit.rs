//! How many requests of one class may be under way: adapted so that answers take as long as they
//! should, and no longer. Pure: time is an argument, from any start.
//!
//! By Little's law, requests under way are answers a second times the time of an answer. A limit
//! on the first therefore bounds the last, whatever the machine can do: when answers take longer
//! than the target, the limit shrinks in proportion; when they don't, it grows. So in quiet times
//! there is room for a crowd that comes all at once.

use std::time::Duration;

/// What a limit keeps to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How long an answer should take, on average.
    pub target: Duration,
    /// The limit never shrinks below this.
    pub least: u32,
    /// The limit never grows above this.
    pub most: u32,
    /// The longest that somebody who is refused is asked to wait.
    pub longest_pause: Duration,
}

/// How a request ended, as far as it says something about load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was asked for was done.
    Done,
    /// A service had no room or no time for it.
    Failed,
    /// Refused for what it is, or nobody waits for the answer any more: says nothing.
    Nothing,
}

/// A limit and who is under way within it.
#[derive(Debug)]
pub(super) struct Limit {
    bounds: Bounds,
    limit: f64,
    in_flight: u32,
    /// How long an answer takes where nothing waits, in seconds; once it is known.
    floor: Option<f64>,
    /// Refusals for each admission, lately.
    excess: f64,
    /// Refusals so far: spreads pauses.
    refusals: u64,
    /// How far what was taken in is behind, and since when that is known.
    behind: (Duration, Duration),
    window: Window,
}

/// What was seen since the limit was last adapted.
#[derive(Debug, Default)]
struct Window {
    began: Duration,
    answers: u32,
    /// How many of them are failures.
    failed: u32,
    /// Of all answers together, in seconds.
    time: f64,
    /// The most that were under way at once.
    crowd: u32,
    /// How long answers took before: what is done now shows only after that.
    before: f64,
    admitted: u32,
    refused: u32,
}

/// The limit is adapted this often, once there are so many answers; or with fewer, after longer.
const WINDOW: Duration = Duration::from_millis(100);
const LONG_WINDOW: Duration = Duration::from_secs(1);
const ENOUGH_ANSWERS: u32 = 10;
/// The most that a limit shrinks and grows at once.
const STEEPEST: (f64, f64) = (0.7, 1.3);
/// Where an answer takes longer than the target by nature (a provider far away), so many times that
/// is the target.
const OVER_FLOOR: f64 = 2.0;
/// One answer counts as no more than so many targets, so that a lost one doesn't count as a load.
const SLOWEST: f64 = 4.0;
/// How far the floor follows answers that stay slow with few under way, and how few these are, in
/// multiples of the least.
const FLOOR_STEP: f64 = 0.05;
const FEW: f64 = 1.5;
/// The weight of the last window in what was lately.
const LATEST: f64 = 0.2;
/// Up to the first, being behind means nothing; at the second, next to nothing is let in.
const BEHIND: (Duration, Duration) = (Duration::from_millis(400), Duration::from_millis(2_000));
const LEAST_SHARE: f64 = 0.1;
/// What is known of it is good for so long.
const FRESH: Duration = Duration::from_secs(2);
/// Pauses are spread by the golden ratio: evenly, however many there are.
const SPREAD: f64 = 0.618_033_988_749_895;

impl Limit {
    /// A limit that lets in as many as it ever may, until answers take too long.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            limit: f64::from(bounds.most),
            in_flight: 0,
            floor: None,
            excess: 0.0,
            refusals: 0,
            behind: (Duration::ZERO, Duration::ZERO),
            window: Window::default(),
        }
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// If there is no room: after how long to come again.
    pub(super) fn enter(&mut self, now: Duration) -> Result<(), Duration> {
        self.turn(now);
        if self.in_flight >= self.room(now) {
            return Err(self.turn_away());
        }
        self.in_flight += 1;
        self.window.admitted += 1;
        self.window.crowd = self.window.crowd.max(self.in_flight);
        Ok(())
    }

    /// Counts one who is refused, and says after how long to come again.
    pub(super) fn turn_away(&mut self) -> Duration {
        self.window.refused += 1;
        self.refusals += 1;
        self.pause()
    }

    /// A request that was taken in has ended, after `took`.
    pub(super) fn leave(&mut self, now: Duration, outcome: Outcome, took: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let slowest = SLOWEST * self.target();
        let counted = match outcome {
            Outcome::Done => Some(took.as_secs_f64().min(slowest)),
            Outcome::Failed => Some(slowest),
            Outcome::Nothing => None,
        };
        self.window.failed += u32::from(outcome == Outcome::Failed);
        if let Some(time) = counted {
            self.window.answers += 1;
            self.window.time += time;
        }
        self.turn(now);
    }

    /// How far what was taken in before is behind. It is not done with the answer: the less is let
    /// in, the further that is behind.
    pub(super) fn note_behind(&mut self, now: Duration, behind: Duration) {
        self.behind = (behind, now);
    }

    /// How many may be under way.
    pub(super) fn room(&self, now: Duration) -> u32 {
        (self.limit * self.share(now)).max(1.0) as u32
    }

    /// Which share of the limit is let in, as what was taken in before is behind.
    fn share(&self, now: Duration) -> f64 {
        let (behind, noted) = self.behind;
        if now.saturating_sub(noted) >= FRESH {
            return 1.0;
        }
        let left = BEHIND.1.saturating_sub(behind).as_secs_f64();
        (left / (BEHIND.1 - BEHIND.0).as_secs_f64()).clamp(LEAST_SHARE, 1.0)
    }

    /// What an answer may take, in seconds.
    fn target(&self) -> f64 {
        let target = self.bounds.target.as_secs_f64();
        self.floor.map_or(target, |floor| target.max(floor * OVER_FLOOR))
    }

    /// Adapts the limit once enough was seen.
    fn turn(&mut self, now: Duration) {
        let age = now.saturating_sub(self.window.began);
        let window = WINDOW.max(Duration::from_secs_f64(self.window.before)).min(LONG_WINDOW);
        let enough = self.window.answers >= ENOUGH_ANSWERS && age >= window;
        if !enough && age < LONG_WINDOW {
            return;
        }
        let next = Window { began: now, crowd: self.in_flight, ..Window::default() };
        let seen = std::mem::replace(&mut self.window, next);
        let excess = f64::from(seen.refused) / f64::from(seen.admitted.max(1));
        self.excess += LATEST * (excess - self.excess);
        if seen.answers > 0 {
            let mean = seen.time / f64::from(seen.answers);
            self.window.before = mean;
            self.adapt(now, mean, &seen);
        }
    }

    /// Adapts the limit to answers that took `mean` seconds.
    fn adapt(&mut self, now: Duration, mean: f64, seen: &Window) {
        let (least, most) = (f64::from(self.bounds.least), f64::from(self.bounds.most));
        let usual = self.bounds.target.as_secs_f64() / OVER_FLOOR;
        let known = self.floor.unwrap_or_else(|| mean.min(usual));
        // With so few under way, what takes long does so by nature.
        let creeps = mean > known && seen.failed == 0 && self.limit <= least * FEW;
        let floor = if creeps { known + FLOOR_STEP * (mean - known) } else { known.min(mean) };
        self.floor = Some(floor);
        let wanted = self.target() / mean.max(f64::EPSILON);
        let (shrink, grow) = STEEPEST;
        // Few requests that take long are no load; quick answers to the few that are let in while
        // others are behind say nothing of more.
        let says = if wanted < 1.0 {
            f64::from(seen.crowd) * 2.0 >= self.limit
        } else {
            self.share(now) >= 1.0
        };
        if says {
            self.limit = (self.limit * wanted.clamp(shrink, grow)).clamp(least, most);
        }
    }

    /// After how long one who is refused now is to come again: the more there are, the later, so
    /// that those who come again are no load of their own; and no two at the same time.
    fn pause(&self) -> Duration {
        let spread = 0.5 + (self.refusals as f64 * SPREAD).fract();
        let pause = Duration::from_secs_f64(self.excess.clamp(1.0, 1e6) * spread);
        pause.min(self.bounds.longest_pause)
    }
}

#[cfg(test)]
mod tests;
