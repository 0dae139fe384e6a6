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
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::link::{Link, SHORT, Script};
use crate::{
    Tasks,
    kv::{Allowance, Rate, limits},
};

/// The most requests that are counted at once.
const MAX_BATCH: usize = 128;
/// The most requests that wait to be counted; further ones are counted by this process alone.
const MAX_WAITING: usize = 4_096;

pub(in crate::kv) struct Limits {
    asks: mpsc::Sender<Ask>,
    own: limits::Limits,
    /// Whether Redis was away when it was asked last: told once, and not with each request.
    alone: AtomicBool,
    /// While it is away one request at a time looks whether it still is; no other waits for it.
    looking: Mutex<()>,
}

/// A request to be counted, and who waits for it.
struct Ask {
    key: String,
    rate: Rate,
    caller: oneshot::Sender<Result<Allowance, Failure>>,
}

/// Counts requests, all that meet in one call: each would cost a round trip and a flush.
struct Counter {
    link: Link,
    namespace: Arc<str>,
    script: Script,
    asks: mpsc::Receiver<Ask>,
    stopping: CancellationToken,
}

impl Limits {
    pub(super) fn start(link: Link, namespace: Arc<str>, tasks: &Tasks) -> Self {
        let (asks, waiting) = mpsc::channel(MAX_WAITING);
        let script = Script::new(include_str!("limit.lua"));
        let counter =
            Counter { link, namespace, script, asks: waiting, stopping: tasks.stopping() };
        tasks.spawn("redis-limits", counter.run());
        Self {
            asks,
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
        let (caller, answer) = oneshot::channel();
        let asked = self.asks.try_send(Ask { key: key.to_owned(), rate, caller });
        let busy = |_| Failure::unavailable("too many requests wait to be counted");
        asked.map_err(busy)?;
        answer.await.unwrap_or_else(|_| Err(Failure::unavailable("the limits are closed")))
    }
}

impl Counter {
    async fn run(mut self) {
        let mut asks = Vec::new();
        loop {
            tokio::select! {
                count = self.asks.recv_many(&mut asks, MAX_BATCH) => if count == 0 { return },
                // What waits is still received.
                () = self.stopping.cancelled(), if !self.asks.is_closed() => {
                    self.asks.close();
                    continue;
                }
            }
            let counted = self.count(&asks).await;
            if counted.is_err() {
                // Whoever came meanwhile must not wait as long again.
                asks.extend(std::iter::from_fn(|| self.asks.try_recv().ok()));
            }
            let mut counted = counted.map(Vec::into_iter);
            for Ask { caller, .. } in asks.drain(..) {
                let answer = match &mut counted {
                    Ok(allowances) => allowances
                        .next()
                        .ok_or_else(|| Failure::internal("redis counted fewer requests")),
                    Err(failure) => Err(failure.clone()),
                };
                // Whoever has gone is counted all the same.
                let _gone = caller.send(answer);
            }
        }
    }

    async fn count(&self, asks: &[Ask]) -> Result<Vec<Allowance>, Failure> {
        let keys = asks.iter().map(|ask| format!("{}limit:{}", self.namespace, ask.key));
        let mut call = self.script.call(&keys.collect::<Vec<_>>());
        for Ask { rate, .. } in asks {
            let interval = u64::try_from(rate.interval.as_micros()).unwrap_or(u64::MAX).max(1);
            call.arg(interval).arg(rate.burst);
        }
        let counted = self.link.run::<Vec<(bool, u32, u64, u64)>>((&self.script, &call), SHORT);
        let allowance = |(allowed, remaining, retry_after, reset_after)| Allowance {
            allowed,
            remaining,
            retry_after: Duration::from_micros(retry_after),
            reset_after: Duration::from_micros(reset_after),
        };
        Ok(counted.await?.into_iter().map(allowance).collect())
    }
}
