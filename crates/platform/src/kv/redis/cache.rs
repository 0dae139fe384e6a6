//! The cache that all processes share. Callers of one process that meet share one load; two
//! processes may load at the same time. Without Redis everything is loaded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kernel::Failure;
use redis::{cmd, pipe};
use tokio::sync::OnceCell;

use super::{
    link::{AGAIN, Link, SHORT, Script},
    locks::milliseconds,
};

/// A load that takes longer is not kept: whether it was overtaken is known for so long.
const LONGEST_LOAD: Duration = Duration::from_secs(60);

pub(in crate::kv) struct Cache {
    link: Link,
    namespace: Arc<str>,
    keep: Script,
    forget: Script,
    flights: Flights,
}

/// The loads that are under way in this process.
type Flights = Arc<Mutex<HashMap<String, Arc<Flight>>>>;
type Flight = OnceCell<Result<Loaded, Failure>>;

#[derive(Clone)]
struct Loaded {
    value: Bytes,
    /// Whether it was still true when it was done, and so for all who waited for it.
    shared: bool,
}

/// A caller that loads or waits; whoever leaves last clears up.
struct Passenger<'a> {
    key: &'a str,
    flight: Arc<Flight>,
    flights: &'a Flights,
}

impl Cache {
    pub(super) fn new(link: Link, namespace: Arc<str>) -> Self {
        let keep = Script::new(include_str!("keep.lua"));
        let forget = Script::new(include_str!("forget.lua"));
        Self { link, namespace, keep, forget, flights: Flights::default() }
    }

    pub(in crate::kv) async fn cached<F, Fut>(
        &self,
        key: &str,
        ttl: Duration,
        load: F,
    ) -> Result<Bytes, Failure>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Bytes, Failure>> + Send,
    {
        let (value_key, mut load) = (self.value_key(key), Some(load));
        loop {
            let known = self.link.ask(cmd("GET").arg(&value_key), SHORT).await;
            if let Ok(Some(value)) = known {
                return Ok(value);
            }
            let passenger = Passenger::board(key, &self.flights);
            let mut own = false;
            let loading = async {
                own = true;
                let begun_at = match known {
                    Ok(_) => self.begin(&value_key).await,
                    Err(failure) => Err(failure),
                };
                let begun_at = match begun_at {
                    Ok((_, Some(value))) => {
                        passenger.land();
                        return Ok(Loaded { value, shared: false });
                    }
                    Ok((begun_at, None)) => Some(begun_at),
                    Err(_) => None,
                };
                // Taken here, so that it is still there if another caller's load was shared.
                let load = load.take().ok_or_else(|| Failure::internal("a load ran twice"))?;
                let value = load().await;
                // Who comes from here on is not told: what is kept is there before it asks.
                passenger.land();
                let value = value?;
                let shared = match begun_at {
                    Some(begun_at) => self.keep(key, (&value, begun_at), ttl).await,
                    // Without Redis nobody else can have it forgotten.
                    None => true,
                };
                Ok(Loaded { value, shared })
            };
            let loaded = passenger.flight.get_or_init(|| loading).await.clone()?;
            if own || loaded.shared {
                return Ok(loaded.value);
            }
        }
    }

    pub(in crate::kv) async fn forget(&self, key: &str) -> Result<(), Failure> {
        let (value, forgotten) = (self.value_key(key), self.forgotten_key(key));
        let mut call = self.forget.call(&[&value, &forgotten]);
        call.arg(micros(LONGEST_LOAD));
        self.link.run((&self.forget, &call), AGAIN).await
    }

    /// The time by Redis' clock, in microseconds, and the value if it has come meanwhile.
    async fn begin(&self, value_key: &str) -> Result<(u64, Option<Bytes>), Failure> {
        let mut begin = pipe();
        begin.cmd("TIME").cmd("GET").arg(value_key);
        let ((seconds, part), value): ((u64, u64), _) = self.link.ask_all(&begin, SHORT).await?;
        Ok((seconds * 1_000_000 + part, value))
    }

    /// Whether nobody had it forgotten since the load began.
    async fn keep(&self, key: &str, (value, begun_at): (&Bytes, u64), ttl: Duration) -> bool {
        let (value_key, forgotten) = (self.value_key(key), self.forgotten_key(key));
        let mut call = self.keep.call(&[&value_key, &forgotten]);
        call.arg(begun_at).arg(micros(LONGEST_LOAD)).arg(milliseconds(ttl)).arg(&**value);
        let kept = self.link.run((&self.keep, &call), SHORT).await;
        kept.unwrap_or_else(|failure| {
            tracing::debug!(%failure, key, "loaded and not cached");
            false
        })
    }

    fn value_key(&self, key: &str) -> String {
        format!("{}cache:{key}", self.namespace)
    }

    fn forgotten_key(&self, key: &str) -> String {
        format!("{}forgotten:{key}", self.namespace)
    }
}

impl<'a> Passenger<'a> {
    fn board(key: &'a str, flights: &'a Flights) -> Self {
        let mut under_way = lock(flights);
        let flight = match under_way.get(key) {
            Some(flight) => flight.clone(),
            None => under_way.entry(key.to_owned()).or_default().clone(),
        };
        drop(under_way);
        Self { key, flight, flights }
    }

    /// Lets nobody else board.
    fn land(&self) {
        let mut under_way = lock(self.flights);
        if under_way.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            under_way.remove(self.key);
        }
    }
}

impl Drop for Passenger<'_> {
    fn drop(&mut self) {
        let mut under_way = lock(self.flights);
        let known = under_way.get(self.key);
        // It and the passenger: nobody else is on board, and what is done is told to nobody.
        let over = known.is_some_and(|flight| {
            Arc::ptr_eq(flight, &self.flight)
                && (flight.initialized() || Arc::strong_count(flight) == 2)
        });
        if over {
            under_way.remove(self.key);
        }
    }
}

fn lock(flights: &Flights) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
