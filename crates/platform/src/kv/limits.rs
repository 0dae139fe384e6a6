//! The rate limits in this process: GCRA, one number per key, forgotten once its burst is whole.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kernel::Clock;

use super::{Allowance, Rate};

const SHARDS: usize = 16;
/// The most keys a shard remembers.
const MAX_KEYS: usize = 65_536;
/// Below this many keys, those whose burst is whole are not looked for.
const SMALLEST_SWEEP: usize = 1_024;

pub(super) struct Limits {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    clock: Arc<dyn Clock>,
}

struct Shard {
    /// When the full burst is there again (the theoretical arrival time), in microseconds.
    whole_at: HashMap<Box<str>, i64>,
    sweep_at: usize,
}

impl Limits {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let shard = |_| Mutex::new(Shard { whole_at: HashMap::new(), sweep_at: SMALLEST_SWEEP });
        Self { shards: std::array::from_fn(shard), hasher: RandomState::new(), clock }
    }

    pub(super) fn count(&self, key: &str, rate: Rate) -> Allowance {
        let now = self.clock.now().micros();
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        // The modulus is the number of shards, so that there always is one.
        let Some(shard) = self.shards.get(index) else { return decide(now, now, rate).0 };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.whole_at.get_mut(key);
        let (allowance, whole_at) = decide(now, known.as_deref().copied().unwrap_or(now), rate);
        match known {
            Some(known) => *known = whole_at,
            None if whole_at > now => {
                shard.whole_at.insert(key.into(), whole_at);
                shard.sweep(now);
            }
            None => {}
        }
        allowance
    }
}

impl Shard {
    fn sweep(&mut self, now: i64) {
        if self.whole_at.len() <= self.sweep_at {
            return;
        }
        self.whole_at.retain(|_, whole_at| *whole_at > now);
        if self.whole_at.len() > MAX_KEYS / 2 {
            // Too many keys at once: those that used least of their burst are forgotten.
            let mut times: Vec<i64> = self.whole_at.values().copied().collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            self.whole_at.retain(|_, whole_at| *whole_at > median);
        }
        self.sweep_at = (self.whole_at.len() * 2).clamp(SMALLEST_SWEEP, MAX_KEYS);
    }
}

/// Whether a request at `now` is allowed where the burst is whole at `whole_at`, and when it is
/// whole after it.
fn decide(now: i64, whole_at: i64, rate: Rate) -> (Allowance, i64) {
    let interval = i64::try_from(rate.interval.as_micros()).unwrap_or(i64::MAX).max(1);
    let burst = interval.saturating_mul(i64::from(rate.burst));
    let whole_at = whole_at.max(now);
    let then = whole_at.saturating_add(interval);
    let missing = then.saturating_sub(now).saturating_sub(burst);
    let allowed = missing <= 0;
    let whole_at = if allowed { then } else { whole_at };
    let used = whole_at.saturating_sub(now);
    let room = burst.saturating_sub(used).max(0) / interval;
    let allowance = Allowance {
        allowed,
        remaining: u32::try_from(room).unwrap_or(u32::MAX),
        retry_after: micros(missing),
        reset_after: micros(used),
    };
    (allowance, whole_at)
}

fn micros(count: i64) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_keys_take_bounded_memory_and_the_heaviest_are_kept() {
        let limits = Limits::new(Arc::new(kernel::SystemClock));
        let slow = Rate { burst: 2, interval: Duration::from_secs(3_600) };
        assert!(limits.count("heavy", slow).allowed && limits.count("heavy", slow).allowed);
        for key in 0..SHARDS * MAX_KEYS * 2 {
            limits.count(&key.to_string(), Rate { burst: 1, ..slow });
        }
        let known = limits.shards.iter().map(|shard| shard.lock().unwrap().whole_at.len());
        assert!(known.max() <= Some(MAX_KEYS + 1));
        assert!(!limits.count("heavy", slow).allowed);
    }
}
