//! The rate limits that all processes share. While Redis is away each process keeps its own, so
//! that neither the door is closed nor guessing is free.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kernel::{Failure, SystemClock};
use tokio::sync::Mutex;

use super::link::{Link, SHORT, Script};
use crate::kv::{Allowance, Rate, limits};

pub(in crate::kv) struct Limits {
    link: Link,
    namespace: Arc<str>,
    count: Script,
    own: limits::Limits,
    /// Whether Redis was away when it was asked last: told once, and not with each request.
    alone: AtomicBool,
    /// While it is away one request at a time looks whether it still is; no other waits for it.
    looking: Mutex<()>,
}

impl Limits {
    pub(super) fn new(link: Link, namespace: Arc<str>) -> Self {
        Self {
            link,
            namespace,
            count: Script::new(include_str!("limit.lua")),
            own: limits::Limits::new(Arc::new(SystemClock)),
            alone: AtomicBool::new(false),
            looking: Mutex::new(()),
        }
    }

    /// A count whose answer is lost is repeated: the request may count twice.
    pub(in crate::kv) async fn count(&self, key: &str, rate: Rate) -> Allowance {
        let looking = match self.alone.load(Ordering::Relaxed) {
            true => match self.looking.try_lock() {
                Ok(looking) => Some(looking),
                Err(_) => return self.own.count(key, rate),
            },
            false => None,
        };
        let counted = self.shared(key, rate).await;
        drop(looking);
        let was_alone = self.alone.swap(counted.is_err(), Ordering::Relaxed);
        match counted {
            Ok(allowance) => {
                if was_alone {
                    tracing::info!("rate limits are shared again");
                }
                allowance
            }
            Err(failure) => {
                if !was_alone {
                    tracing::warn!(%failure, "rate limits can't be shared, counting alone");
                }
                self.own.count(key, rate)
            }
        }
    }

    async fn shared(&self, key: &str, rate: Rate) -> Result<Allowance, Failure> {
        let interval = u64::try_from(rate.interval.as_micros()).unwrap_or(u64::MAX).max(1);
        let key = format!("{}limit:{key}", self.namespace);
        let mut call = self.count.call(&[&key]);
        call.arg(interval).arg(rate.burst);
        let (allowed, remaining, retry_after, reset_after) =
            self.link.run::<(bool, u32, u64, u64)>((&self.count, &call), SHORT).await?;
        Ok(Allowance {
            allowed,
            remaining,
            retry_after: Duration::from_micros(retry_after),
            reset_after: Duration::from_micros(reset_after),
        })
    }
}
