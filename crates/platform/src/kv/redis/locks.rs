//! The locks that all processes share, each a key that ends by itself.

use std::{sync::Arc, time::Duration};

use kernel::Failure;

use super::link::{AGAIN, Link, ONCE, Script};
use crate::kv::Lock;

pub(in crate::kv) struct Locks {
    link: Link,
    namespace: Arc<str>,
    fence: String,
    lock: Script,
    renew: Script,
    unlock: Script,
}

impl Locks {
    pub(super) fn new(link: Link, namespace: Arc<str>) -> Self {
        Self {
            link,
            fence: format!("{namespace}fence"),
            namespace,
            lock: Script::new(include_str!("lock.lua")),
            renew: Script::new(include_str!("renew.lua")),
            unlock: Script::new(include_str!("unlock.lua")),
        }
    }

    /// Not repeated: if the answer is lost, the lock may be taken, and is free again after `ttl`.
    pub(in crate::kv) async fn lock(
        &self,
        name: &str,
        ttl: Duration,
    ) -> Result<Option<Lock>, Failure> {
        let mut call = self.lock.call(&[&self.key(name), &self.fence]);
        call.arg(milliseconds(ttl));
        let fence: Option<u64> = self.link.run((&self.lock, &call), ONCE).await?;
        Ok(fence.map(|fence| Lock { name: name.to_owned(), fence }))
    }

    pub(in crate::kv) async fn renew(&self, lock: &Lock, ttl: Duration) -> Result<bool, Failure> {
        let mut call = self.renew.call(&[&self.key(&lock.name)]);
        call.arg(lock.fence).arg(milliseconds(ttl));
        self.link.run((&self.renew, &call), AGAIN).await
    }

    pub(in crate::kv) async fn unlock(&self, lock: &Lock) -> Result<(), Failure> {
        let mut call = self.unlock.call(&[&self.key(&lock.name)]);
        call.arg(lock.fence);
        self.link.run((&self.unlock, &call), AGAIN).await
    }

    fn key(&self, name: &str) -> String {
        format!("{}lock:{name}", self.namespace)
    }
}

/// A time to live as Redis takes it, which is never none.
pub(super) fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64 / 1_000_000)
}
