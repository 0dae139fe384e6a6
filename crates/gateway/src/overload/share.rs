//! Which share of those who look in order to book is let in. While bookings are refused, looking at
//! what is free only leads to a refusal: it is kinder and cheaper to say so at the first step.
//! Pure: time is an argument, from any start.

use std::time::Duration;

/// The share, and what it follows.
#[derive(Debug)]
pub(super) struct Share {
    share: f64,
    /// Parts of a request that are still to be let in.
    due: f64,
    adapted: Duration,
    before: Counts,
}

/// Bookings that were let in and refused, in all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub admitted: u64,
    pub refused: u64,
}

/// The share is adapted this often: it takes a while from a look to a booking.
const PERIOD: Duration = Duration::from_millis(250);
/// The share of bookings that are refused all the same, so that there always is somebody for who
/// leaves room.
const WANTED: f64 = 0.5;
/// How much the share follows what is seen, and how much it grows when nobody is refused.
const STEP: f64 = 0.5;
const GROWTH: f64 = 1.2;
const LEAST: f64 = 0.02;

impl Share {
    pub(super) const fn new() -> Self {
        let before = Counts { admitted: 0, refused: 0 };
        Self { share: 1.0, due: 0.0, adapted: Duration::ZERO, before }
    }

    /// Whether one who looks is let in, given how bookings fared until now.
    pub(super) fn enter(&mut self, now: Duration, bookings: Counts) -> bool {
        if now.saturating_sub(self.adapted) >= PERIOD {
            self.adapted = now;
            self.adapt(bookings);
        }
        self.due += self.share;
        let enters = self.due >= 1.0;
        if enters {
            self.due -= 1.0;
        }
        enters
    }

    fn adapt(&mut self, bookings: Counts) {
        let refused = bookings.refused.saturating_sub(self.before.refused) as f64;
        let admitted = bookings.admitted.saturating_sub(self.before.admitted) as f64;
        self.before = bookings;
        let factor = if refused == 0.0 {
            GROWTH
        } else {
            1.0 + STEP * (WANTED - refused / (refused + admitted))
        };
        self.share = (self.share * factor).clamp(LEAST, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People who look and, half a second later, want to book, of whom so many a second can.
    struct Sale {
        share: Share,
        now: Duration,
        counts: Counts,
        /// Those who have looked, by the tick in which they will want to book.
        looked: Vec<u32>,
        can_book: f64,
    }

    const TICK: Duration = Duration::from_millis(10);
    const THINKING_TICKS: usize = 50;

    impl Sale {
        fn new(can_book: f64) -> Self {
            let looked = vec![0; THINKING_TICKS];
            Self {
                share: Share::new(),
                now: Duration::ZERO,
                counts: Counts::default(),
                looked,
                can_book,
            }
        }

        /// Answers how many booked, and how many looked in vain.
        fn play(&mut self, looks_a_tick: u32, ticks: usize) -> (u64, u64) {
            let (from, mut room) = (self.counts, 0.0);
            for tick in 0..ticks {
                self.now += TICK;
                room = (room + self.can_book).min(self.can_book + 1.0);
                let at = tick % THINKING_TICKS;
                for _ in 0..std::mem::take(&mut self.looked[at]) {
                    if room >= 1.0 {
                        room -= 1.0;
                        self.counts.admitted += 1;
                    } else {
                        self.counts.refused += 1;
                    }
                }
                let enters = (0..looks_a_tick).filter(|_| self.share.enter(self.now, self.counts));
                self.looked[at] = enters.count() as u32;
            }
            (self.counts.admitted - from.admitted, self.counts.refused - from.refused)
        }
    }

    #[test]
    fn everybody_looks_while_there_is_room() {
        let mut sale = Sale::new(10.0);
        let (booked, refused) = sale.play(9, 2_000);
        assert!(booked >= 9 * 1_900 && refused == 0, "{booked} {refused}");
    }

    #[test]
    fn in_an_overload_few_look_in_vain_and_all_room_is_used() {
        let mut sale = Sale::new(10.0);
        sale.play(50, 500);
        let (booked, refused) = sale.play(50, 1_000);
        assert!(booked > 9_500, "{booked}");
        assert!(refused < booked * 2, "without it, four for each that books: {refused}");
    }

    #[test]
    fn after_an_overload_everybody_looks_again_within_seconds() {
        let mut sale = Sale::new(10.0);
        sale.play(50, 1_000);
        sale.play(5, 300);
        let before = sale.share.share;
        assert!(before >= 1.0, "{before}");
        let mut idle = Share { share: LEAST, ..Share::new() };
        for tick in 1..=30 {
            idle.enter(PERIOD * tick, Counts::default());
        }
        assert!(idle.share >= 1.0, "also when nobody books at all: {}", idle.share);
    }
}
