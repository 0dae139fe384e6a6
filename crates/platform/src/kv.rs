//! Key-value parts that shape load and never decide: cache, locks with a fencing token, rate
//! limits, publish / subscribe; and the waiting queue, whose places survive a restart.

mod cache;
mod channels;
mod limits;
mod locks;
mod memory;
mod queue;
mod redis;
mod store;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kernel::{Clock, Failure};

use crate::Tasks;
pub use channels::{Received, Subscription};
use memory::Memory;
pub use queue::{Head, Item, Place, Queue, Settled};
use redis::Redis;
pub use redis::RedisSettings;

/// The key-value parts of one deployment. Cheap to clone.
#[derive(Clone)]
pub struct Kv(Arc<Backend>);

/// Where the parts are.
enum Backend {
    Memory(Memory),
    Redis(Redis),
}

/// A lock that is held. Give its fence to the database with each write that it guards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The lock's name.
    pub name: String,
    /// Greater than that of every earlier holder.
    pub fence: u64,
}

/// A rate: `burst` at once, and one more every `interval` (GCRA).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once.
    pub burst: u32,
    /// How long until there is room for one more.
    pub interval: Duration,
}

/// What a rate limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Whether the request may go on.
    pub allowed: bool,
    /// How many more may come now.
    pub remaining: u32,
    /// When to try again, if not allowed.
    pub retry_after: Duration,
    /// When the full burst is there again.
    pub reset_after: Duration,
}

impl Kv {
    /// The parts in this process. The waiting queue is kept in the SQLite database `db`.
    ///
    /// # Errors
    /// If its tables can't be made.
    pub async fn memory(db: db::Db, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Ok(Self(Arc::new(Backend::Memory(Memory::open(db, clock).await?))))
    }

    /// The parts in a Redis that processes share, which has to be 7 or later, to keep an
    /// append-only file, and to evict nothing. One task of `tasks` holds the subscriptions; they
    /// end when `tasks` is stopped.
    ///
    /// # Errors
    /// `REDIS_UNFIT` if it could lose places of the waiting queue; or it can't be reached.
    pub async fn redis(settings: &RedisSettings, tasks: &Tasks) -> Result<Self, Failure> {
        Ok(Self(Arc::new(Backend::Redis(Redis::open(settings, tasks).await?))))
    }

    /// Whether other processes may use the same parts.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(*self.0, Backend::Redis(_))
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// If it can't be reached within two seconds.
    pub async fn ping(&self) -> Result<(), Failure> {
        match &*self.0 {
            Backend::Memory(_) => Ok(()),
            Backend::Redis(redis) => redis.ping().await,
        }
    }

    /// The cached value of `key`, or what `load` answers, which is then cached for `ttl`. Callers
    /// that meet share one load.
    ///
    /// # Errors
    /// What `load` failed with; failures are not cached.
    pub async fn cached<F, Fut>(&self, key: &str, ttl: Duration, load: F) -> Result<Bytes, Failure>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Bytes, Failure>> + Send,
    {
        match &*self.0 {
            Backend::Memory(memory) => memory.cache.cached(key, ttl, load).await,
            Backend::Redis(redis) => redis.cache.cached(key, ttl, load).await,
        }
    }

    /// Forgets the cached value of `key`; a load under way is not cached either.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn forget(&self, key: &str) -> Result<(), Failure> {
        match &*self.0 {
            Backend::Memory(memory) => memory.cache.forget(key).await,
            Backend::Redis(redis) => redis.cache.forget(key).await?,
        }
        Ok(())
    }

    /// Takes the lock `name` for `ttl`, if it is free.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn lock(&self, name: &str, ttl: Duration) -> Result<Option<Lock>, Failure> {
        match &*self.0 {
            Backend::Memory(memory) => Ok(memory.locks.lock(name, ttl)),
            Backend::Redis(redis) => redis.locks.lock(name, ttl).await,
        }
    }

    /// Holds a lock for `ttl` from now; `false` if it was lost.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn renew(&self, lock: &Lock, ttl: Duration) -> Result<bool, Failure> {
        match &*self.0 {
            Backend::Memory(memory) => Ok(memory.locks.renew(lock, ttl)),
            Backend::Redis(redis) => redis.locks.renew(lock, ttl).await,
        }
    }

    /// Gives a lock back; one that was lost is left to its new holder.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn unlock(&self, lock: &Lock) -> Result<(), Failure> {
        match &*self.0 {
            Backend::Memory(memory) => memory.locks.unlock(lock),
            Backend::Redis(redis) => redis.locks.unlock(lock).await?,
        }
        Ok(())
    }

    /// Counts a request against the limit of `key`. One that is refused does not count.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn limit(&self, key: &str, rate: Rate) -> Result<Allowance, Failure> {
        match &*self.0 {
            Backend::Memory(memory) => Ok(memory.limits.count(key, rate)),
            Backend::Redis(redis) => Ok(redis.limits.count(key, rate).await),
        }
    }

    /// Sends a message to those who are subscribed to `channel` now; nobody else will see it.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn publish(&self, channel: &str, message: Bytes) -> Result<(), Failure> {
        match &*self.0 {
            Backend::Memory(memory) => memory.channels.publish(channel, message),
            Backend::Redis(redis) => redis.channels.publish(channel, &message).await?,
        }
        Ok(())
    }

    /// Subscribes to `channel`.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscription, Failure> {
        match &*self.0 {
            Backend::Memory(memory) => Ok(memory.channels.subscribe(channel)),
            Backend::Redis(redis) => redis.channels.subscribe(channel).await,
        }
    }

    /// The waiting queue.
    #[must_use]
    pub fn queue(&self) -> Queue {
        match &*self.0 {
            Backend::Memory(memory) => memory.queue.clone(),
            Backend::Redis(redis) => redis.queue.clone(),
        }
    }
}
