//! The cache in this process: bounded by bytes, one load at a time per key.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use kernel::{Clock, Failure, Timestamp};

/// The most that all keys and values may take, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// What an entry takes beside its key and value, in bytes, about.
const ENTRY_BYTES: usize = 160;
/// `forget` is noted per group of keys; two keys of one group cost each other a load at most.
const GROUPS: usize = 256;

pub(super) struct Cache {
    entries: moka::future::Cache<String, Entry>,
    /// How often a key of each group was forgotten: a load that began before is not kept.
    forgotten: Box<[AtomicU64]>,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    ttl: Duration,
    expires_at: Timestamp,
}

/// Frees the memory of what has expired; whether it has is decided by our own clock.
struct Expiry;

impl moka::Expiry<String, Entry> for Expiry {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl Cache {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let weigh = |key: &String, entry: &Entry| {
            u32::try_from(key.len() + entry.value.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let entries = moka::future::Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(weigh)
            .expire_after(Expiry)
            .build();
        let forgotten = (0..GROUPS).map(|_| AtomicU64::new(0)).collect();
        Self { entries, forgotten, hasher: RandomState::new(), clock }
    }

    pub(super) async fn cached<F, Fut>(
        &self,
        key: &str,
        ttl: Duration,
        load: F,
    ) -> Result<Bytes, Failure>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Bytes, Failure>> + Send,
    {
        let mut load = Some(load);
        loop {
            let begun = self.times_forgotten(key);
            let loading = async {
                // Taken here, so that it is still there if another caller's load was shared.
                let load = load.take().ok_or_else(|| Failure::internal("a load ran twice"))?;
                let value = load().await?;
                let kept = self.times_forgotten(key) == begun;
                let ttl = if kept { ttl } else { Duration::ZERO };
                Ok(Entry { value, ttl, expires_at: self.clock.now().plus(ttl) })
            };
            let entry = self.entries.try_get_with_by_ref(key, loading).await;
            let entry = entry.map_err(|failure: Arc<Failure>| (*failure).clone())?;
            if load.is_none() || self.clock.now() < entry.expires_at {
                return Ok(entry.value);
            }
            self.entries.invalidate(key).await;
        }
    }

    pub(super) async fn forget(&self, key: &str) {
        if let Some(times) = self.group(key) {
            times.fetch_add(1, Ordering::SeqCst);
        }
        self.entries.invalidate(key).await;
    }

    fn times_forgotten(&self, key: &str) -> u64 {
        self.group(key).map_or(0, |times| times.load(Ordering::SeqCst))
    }

    fn group(&self, key: &str) -> Option<&AtomicU64> {
        let hash = usize::try_from(self.hasher.hash_one(key) % GROUPS as u64).ok()?;
        self.forgotten.get(hash)
    }
}
