//! How fast a client may send: so many at once, and one more every interval (GCRA).

use std::time::Duration;

/// The pace of one client. Time is how long its connection has lasted.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    allowed_ahead: Duration,
    /// When all that came so far would have come at an even pace.
    even: Duration,
}

impl Pace {
    /// `per_second` in the long run, and `burst` at once. Both are at least 1.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, allowed_ahead: interval * burst.max(1), even: Duration::ZERO }
    }

    /// Counts one message; `false` if it is one too many.
    pub(crate) fn allows(&mut self, now: Duration) -> bool {
        self.even = self.even.max(now) + self.interval;
        self.even <= now + self.allowed_ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_pace() {
        let mut pace = Pace::new(10, 3);
        let at = Duration::from_millis;
        assert!((0..3).all(|_| pace.allows(at(0))));
        assert!(!pace.allows(at(0)), "the fourth at once");
        let mut pace = Pace::new(10, 3);
        assert!((0..50).all(|n| pace.allows(at(100 * n))), "an even pace");
        assert!(pace.allows(at(4_900)) && pace.allows(at(4_900)));
        assert!(!pace.allows(at(4_950)), "the burst is used up");
        assert!(pace.allows(at(60_000)), "and comes back");
    }
}
