//! Locks in Redis as they are commonly taken: `SET key token NX PX`, tried again after a short
//! pause while somebody else has it; given back by a script that looks whether it is still the
//! caller's.

use std::time::Duration;

use redis::{AsyncCommands, Script, aio::ConnectionManager};
use tokio::time::{Instant, sleep};

use crate::Failure;

/// After so long a lock is nobody's, whatever became of who had it, in milliseconds.
const LIFETIME_MS: u64 = 10_000;
/// Libraries pause for 50 to 200 ms; this is meant well.
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(10);
const UNLOCK: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then \
                      return redis.call('del', KEYS[1]) else return 0 end";

/// Locks by name. Cheap to clone.
#[derive(Clone)]
pub(super) struct Locks {
    redis: ConnectionManager,
    unlock: Script,
}

impl Locks {
    pub(super) fn new(redis: ConnectionManager) -> Self {
        Self { redis, unlock: Script::new(UNLOCK) }
    }

    /// Waits until the lock is one's own; `false` if that takes too long.
    pub(super) async fn lock(&self, name: &str, token: &str) -> Result<bool, Failure> {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            if self.try_lock(name, token).await? {
                return Ok(true);
            }
            sleep(PAUSE).await;
        }
        Ok(false)
    }

    /// Takes the lock if nobody has it.
    pub(super) async fn try_lock(&self, name: &str, token: &str) -> Result<bool, Failure> {
        let mut redis = self.redis.clone();
        let options = redis::SetOptions::default()
            .conditional_set(redis::ExistenceCheck::NX)
            .with_expiration(redis::SetExpiry::PX(LIFETIME_MS));
        let set: Option<String> = redis.set_options(name, token, options).await?;
        Ok(set.is_some())
    }

    /// Gives it back.
    pub(super) async fn unlock(&self, name: &str, token: &str) -> Result<(), Failure> {
        let mut redis = self.redis.clone();
        let _was_ours: i64 = self.unlock.key(name).arg(token).invoke_async(&mut redis).await?;
        Ok(())
    }
}
