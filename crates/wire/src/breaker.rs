//! A circuit breaker per target: after a row of failures it opens and answers at once in the
//! target's place; after a pause it lets one call through as a probe, and closes if that succeeds.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

/// So many failures in a row, none further than the window from the first, open it.
const FAILURES_TO_OPEN: u32 = 8;
const WINDOW: Duration = Duration::from_secs(10);
/// How long it stays open at first; doubled with each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Values of the gauge.
const CLOSED: i64 = 0;
const HALF_OPEN: i64 = 1;
const OPEN: i64 = 2;

pub(crate) struct Breaker {
    /// Whether `state` is anything but closed without failures: spares the lock while all is well.
    troubled: AtomicBool,
    state: Mutex<State>,
    gauge: Gauge,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32, first: Instant },
    Open { until: Instant, pause: Duration },
    Probing { pause: Duration },
}

/// Leave to make one call, whose outcome is to be reported; dropped unreported, it says nothing.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    /// The pause to go back to, if this call is the probe.
    probe: Option<Duration>,
}

impl Breaker {
    /// A closed breaker that shows its state on `gauge`.
    pub(crate) fn new(gauge: Gauge) -> Self {
        gauge.set(CLOSED);
        let state = Mutex::new(State::Closed { failures: 0, first: Instant::now() });
        Self { troubled: AtomicBool::new(false), state, gauge }
    }

    /// Leave to make a call.
    ///
    /// # Errors
    /// If it is open: after how long to try again.
    pub(crate) fn admit(&self) -> Result<Pass<'_>, Duration> {
        if !self.troubled.load(Ordering::Acquire) {
            return Ok(Pass { breaker: self, probe: None });
        }
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(Pass { breaker: self, probe: None }),
            State::Open { until, pause } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(left);
                }
                self.set(&mut state, State::Probing { pause });
                Ok(Pass { breaker: self, probe: Some(pause) })
            }
            State::Probing { pause } => Err(pause),
        }
    }

    /// Closes it: from elsewhere it is known that the target is well again.
    pub(crate) fn reset(&self) {
        self.set(&mut self.lock(), State::Closed { failures: 0, first: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: &mut State, new: State) {
        let (troubled, shown) = match new {
            State::Closed { failures, .. } => (failures > 0, CLOSED),
            State::Open { .. } => (true, OPEN),
            State::Probing { .. } => (true, HALF_OPEN),
        };
        *state = new;
        self.gauge.set(shown);
        self.troubled.store(troubled, Ordering::Release);
    }

    fn failed(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let State::Closed { failures, first } = *state else { return };
        let in_row = failures > 0 && now.duration_since(first) <= WINDOW;
        let (failures, first) = if in_row { (failures + 1, first) } else { (1, now) };
        let new = if failures < FAILURES_TO_OPEN {
            State::Closed { failures, first }
        } else {
            State::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE }
        };
        self.set(&mut state, new);
    }

    fn succeeded(&self) {
        if !self.troubled.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.lock();
        if let State::Closed { first, .. } = *state {
            self.set(&mut state, State::Closed { failures: 0, first });
        }
    }
}

impl Pass<'_> {
    /// Reports how the call went.
    pub(crate) fn report(mut self, failed: bool) {
        let Some(pause) = self.probe.take() else {
            return if failed { self.breaker.failed() } else { self.breaker.succeeded() };
        };
        let now = Instant::now();
        let longer = (pause * 2).min(LONGEST_PAUSE);
        let new = if failed {
            State::Open { until: now + longer, pause: longer }
        } else {
            State::Closed { failures: 0, first: now }
        };
        self.breaker.set(&mut self.breaker.lock(), new);
    }
}

impl Drop for Pass<'_> {
    /// A probe whose caller left proves nothing: the next call is the probe.
    fn drop(&mut self) {
        if let Some(pause) = self.probe.take() {
            let new = State::Open { until: Instant::now(), pause };
            self.breaker.set(&mut self.breaker.lock(), new);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.admit().expect("closed").report(true);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_of_failures_opens_it_and_a_probe_closes_it() {
        let breaker = Breaker::new(Gauge::default());
        fail(&breaker, FAILURES_TO_OPEN - 1);
        breaker.admit().unwrap().report(false);
        fail(&breaker, FAILURES_TO_OPEN - 1);
        time::advance(WINDOW * 2).await;
        fail(&breaker, FAILURES_TO_OPEN);
        assert_eq!(breaker.admit().err(), Some(FIRST_PAUSE));
        assert_eq!(breaker.gauge.get(), OPEN);

        time::advance(FIRST_PAUSE).await;
        let probe = breaker.admit().expect("half open");
        assert!(breaker.admit().is_err(), "one probe at a time");
        probe.report(true);
        assert_eq!(breaker.admit().err(), Some(FIRST_PAUSE * 2), "longer each time");

        time::advance(FIRST_PAUSE * 2).await;
        drop(breaker.admit().expect("half open"));
        let probe = breaker.admit().expect("a probe that was dropped is made again");
        assert_eq!(breaker.gauge.get(), HALF_OPEN);
        probe.report(false);
        assert_eq!(breaker.gauge.get(), CLOSED);
        fail(&breaker, FAILURES_TO_OPEN - 1);
        assert!(breaker.admit().is_ok(), "the count starts anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_of_an_earlier_call_changes_nothing() {
        let breaker = Breaker::new(Gauge::default());
        let (late, later) = (breaker.admit().unwrap(), breaker.admit().unwrap());
        fail(&breaker, FAILURES_TO_OPEN);
        late.report(false);
        later.report(true);
        assert_eq!(breaker.admit().err(), Some(FIRST_PAUSE));
    }
}
