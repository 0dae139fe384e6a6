//! How many mails may be delivered now, so that a rush of bookings keeps the processor. Pure.

use std::time::Duration;

use kernel::Timestamp;

/// Of all that may be delivered in a second, one in so many may be whatever else there is to do.
const SURE: u32 = 5;
/// How many letters that are written take the place of one that is delivered.
const LETTERS_A_MAIL: u32 = 2;

/// So many mails a second, of which a part is sure and the rest gives way to letters that are
/// written: while bookings are confirmed by the hundred, their mails wait.
#[derive(Debug)]
pub(crate) struct Pace {
    sure: Bucket,
    spare: Bucket,
}

/// What was taken of a pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) count: u32,
    is_sure: bool,
}

/// A bucket that fills with so many mails a second, and holds those of one second.
#[derive(Debug)]
struct Bucket {
    per_second: u32,
    /// What one mail takes of it.
    each: Duration,
    /// When it was, or will be, empty.
    empty_at: Timestamp,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        let sure = per_second.div_ceil(SURE);
        Self { sure: Bucket::new(sure), spare: Bucket::new(per_second - sure) }
    }

    /// Takes up to `limit` mails' worth out. None until there is room for as many as are taken at
    /// once, or all that a bucket holds, so that mails don't come out one by one.
    pub(crate) fn take(&mut self, limit: u32, now: Timestamp) -> Taken {
        match self.spare.take(limit, now) {
            0 => Taken { count: self.sure.take(limit, now), is_sure: true },
            count => Taken { count, is_sure: false },
        }
    }

    /// Puts back what was taken and not used.
    pub(crate) fn put_back(&mut self, unused: Taken) {
        let bucket = if unused.is_sure { &mut self.sure } else { &mut self.spare };
        bucket.empty_at = bucket.empty_at.minus(bucket.each * unused.count);
    }

    /// Gives way to letters that were written.
    pub(crate) fn give_way(&mut self, letters: u32, now: Timestamp) {
        let spare = &mut self.spare;
        spare.overflow(now);
        let after = spare.empty_at.plus(spare.each * letters / LETTERS_A_MAIL);
        spare.empty_at = spare.empty_at.max(after.min(now));
    }
}

impl Taken {
    /// All of it but so many.
    pub(crate) fn less(self, used: u32) -> Self {
        Self { count: self.count.saturating_sub(used), ..self }
    }
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let each = Duration::from_secs(1) / per_second.max(1);
        Self { per_second, each, empty_at: Timestamp::EPOCH }
    }

    /// What has come since it was full is lost.
    fn overflow(&mut self, now: Timestamp) {
        self.empty_at = self.empty_at.max(now.minus(Duration::from_secs(1)));
    }

    fn take(&mut self, limit: u32, now: Timestamp) -> u32 {
        let limit = limit.min(self.per_second);
        self.overflow(now);
        let after = self.empty_at.plus(self.each * limit);
        if after > now {
            return 0;
        }
        self.empty_at = after;
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn after(millis: u64) -> Timestamp {
        START.plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_second_brings_as_many_as_it_may_and_rest_is_saved_up_for_one() {
        let mut pace = Pace::new(100);
        let taken: Vec<u32> = (0..4).map(|_| pace.take(40, START).count).collect();
        assert_eq!(taken, [40, 40, 20, 0]);
        assert_eq!((pace.take(40, after(499)).count, pace.take(40, after(500)).count), (0, 40));
        let sure = pace.take(40, after(1_000)).less(0);
        pace.put_back(Taken { count: 39, ..sure });
        assert_eq!(pace.take(39, after(1_000)).count, 39, "what was put back");
        let later = |_| pace.take(1_000, after(60_000)).count;
        assert_eq!((0..3).map(later).collect::<Vec<_>>(), [80, 20, 0], "a second's at most");
        let mut one = Pace::new(1);
        assert_eq!((one.take(50, START).count, one.take(50, START).count), (1, 0));
    }

    #[test]
    fn a_rush_of_letters_leaves_what_is_sure_and_its_end_all() {
        let mut pace = Pace::new(100);
        let (mut busy, mut quiet) = (0, 0);
        for tick in 0..1_000 {
            let now = after(10 * tick);
            if tick < 500 {
                pace.give_way(5, now);
            }
            let taken = pace.take(10, now).count;
            *(if tick < 500 { &mut busy } else { &mut quiet }) += taken;
        }
        assert!((120..=200).contains(&busy), "what was saved up, and 20 a second: {busy}");
        assert!((480..=520).contains(&quiet), "100 a second: {quiet}");
    }
}
