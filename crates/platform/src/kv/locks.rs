//! The locks in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::{Clock, Timestamp};

use super::Lock;

/// How many locks one term can give out: fences fit into SQL's bigint for eight million terms.
const FENCES_BITS: u32 = 40;
/// Below this many locks, those that have expired are not looked for.
const SMALLEST_SWEEP: usize = 1_024;

pub(super) struct Locks {
    held: Mutex<Held>,
    clock: Arc<dyn Clock>,
}

struct Held {
    locks: HashMap<String, (u64, Timestamp)>,
    last_fence: u64,
    sweep_at: usize,
}

impl Locks {
    /// Locks whose fences are greater than those of every earlier `term`.
    pub(super) fn new(clock: Arc<dyn Clock>, term: u64) -> Self {
        let last_fence = term << FENCES_BITS;
        let held = Held { locks: HashMap::new(), last_fence, sweep_at: SMALLEST_SWEEP };
        Self { held: Mutex::new(held), clock }
    }

    pub(super) fn lock(&self, name: &str, ttl: Duration) -> Option<Lock> {
        let now = self.clock.now();
        let mut held = self.held();
        if held.locks.get(name).is_some_and(|(_, expires_at)| now < *expires_at) {
            return None;
        }
        held.last_fence += 1;
        let fence = held.last_fence;
        held.locks.insert(name.to_owned(), (fence, now.plus(ttl)));
        if held.locks.len() > held.sweep_at {
            held.locks.retain(|_, (_, expires_at)| now < *expires_at);
            held.sweep_at = SMALLEST_SWEEP.max(held.locks.len() * 2);
        }
        Some(Lock { name: name.to_owned(), fence })
    }

    pub(super) fn renew(&self, lock: &Lock, ttl: Duration) -> bool {
        let now = self.clock.now();
        match self.held().locks.get_mut(&lock.name) {
            Some((fence, expires_at)) if *fence == lock.fence && now < *expires_at => {
                *expires_at = now.plus(ttl);
                true
            }
            _ => false,
        }
    }

    pub(super) fn unlock(&self, lock: &Lock) {
        let mut held = self.held();
        if held.locks.get(&lock.name).is_some_and(|(fence, _)| *fence == lock.fence) {
            held.locks.remove(&lock.name);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
