//! How many mails may be delivered now, so that a rush of bookings keeps the processor. Pure.

use std::time::Duration;

use kernel::Timestamp;

/// A bucket that fills with so many mails a second, and holds those of one second.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: u32,
    /// What one mail takes of it.
    each: Duration,
    /// When it was, or will be, empty.
    empty_at: Timestamp,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        let each = Duration::from_secs(1) / per_second.max(1);
        Self { per_second, each, empty_at: Timestamp::EPOCH }
    }

    /// Takes up to `limit` mails' worth out. None until there is room for as many as are taken at
    /// once, or all the bucket holds, so that mails don't come out one by one.
    pub(crate) fn take(&mut self, limit: u32, now: Timestamp) -> u32 {
        let limit = limit.min(self.per_second);
        let full_since = now.minus(Duration::from_secs(1));
        self.empty_at = self.empty_at.max(full_since);
        let after = self.empty_at.plus(self.each * limit);
        if after > now {
            return 0;
        }
        self.empty_at = after;
        limit
    }

    /// Puts back what was taken and not used.
    pub(crate) fn put_back(&mut self, count: u32) {
        self.empty_at = self.empty_at.minus(self.each * count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_brings_as_many_as_it_may_and_rest_is_saved_up_for_one() {
        let start = Timestamp::from_seconds(1_800_000_000);
        let after = |millis| start.plus(Duration::from_millis(millis));
        let mut pace = Pace::new(100);
        let taken: Vec<u32> = (0..4).map(|_| pace.take(50, start)).collect();
        assert_eq!(taken, [50, 50, 0, 0]);
        assert_eq!((pace.take(50, after(499)), pace.take(50, after(500))), (0, 50));
        pace.put_back(49);
        assert_eq!((pace.take(50, after(500)), pace.take(50, after(510))), (0, 50));
        let later = |_| pace.take(1_000, after(60_000));
        assert_eq!((0..3).map(later).collect::<Vec<_>>(), [100, 0, 0], "a second's at most");
    }
}
