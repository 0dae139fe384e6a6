//! Published events in memory, for quotes and visitors: one read a booking, and no statement.
//!
//! It shapes load and decides nothing. A change is forgotten here at once, and at the other
//! replicas by a message; one that misses it shows the old event for the entry's time to live.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use db::Db;
use kernel::{EventId, Failure};
use moka::future::Cache as Moka;
use platform::{
    Tasks,
    kv::{Kv, Received, Subscription},
};
use uuid::Uuid;

use crate::{
    domain::{Event, Plan},
    error::Error,
    store,
};

/// The channel on which changed events are named, each by its id's 16 bytes.
const CHANGED: &str = "event:changed";
/// The longest a published plan is kept; it never changes.
const PLAN_TTL: Duration = Duration::from_secs(3_600);
/// The pause before subscribing again.
const RESUBSCRIBE: Duration = Duration::from_secs(1);

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) ttl: Duration,
    pub(crate) events: u64,
    pub(crate) plans: u64,
}

/// What is kept.
#[derive(Clone)]
pub(crate) struct Cache {
    db: Db,
    kv: Kv,
    events: Moka<EventId, Arc<Event>>,
    plans: Moka<EventId, Arc<Plan>>,
    /// Grows with whatever is forgotten, so that a read that was overtaken is made again.
    forgotten: Arc<AtomicU64>,
}

impl Cache {
    pub(crate) fn new(db: Db, kv: Kv, limits: Limits) -> Self {
        let events = Moka::builder().max_capacity(limits.events).time_to_live(limits.ttl).build();
        let plans = Moka::builder().max_capacity(limits.plans).time_to_live(PLAN_TTL).build();
        Self { db, kv, events, plans, forgotten: Arc::default() }
    }

    /// The published event. Callers that meet share one read.
    ///
    /// # Errors
    /// [`Error::EventNotFound`] if there is none that is public, which is not remembered.
    pub(crate) async fn event(&self, id: EventId) -> Result<Arc<Event>, Error> {
        let load = async {
            loop {
                let before = self.forgotten.load(Ordering::SeqCst);
                let found = self.db.read(move |tx| Box::pin(store::event(tx, id))).await?;
                if self.forgotten.load(Ordering::SeqCst) == before {
                    let event = found.filter(Event::is_public).ok_or(Error::EventNotFound)?;
                    return Ok(Arc::new(event));
                }
            }
        };
        self.events.try_get_with(id, load).await.map_err(|error: Arc<Error>| (*error).clone())
    }

    /// The plan of a published event.
    ///
    /// # Errors
    /// [`Error::EventNotFound`] if there is none.
    pub(crate) async fn plan(&self, id: EventId) -> Result<Arc<Plan>, Error> {
        let load = async {
            let found = self.db.read(move |tx| Box::pin(store::plan(tx, id))).await?;
            Ok(Arc::new(found.ok_or(Error::EventNotFound)?))
        };
        self.plans.try_get_with(id, load).await.map_err(|error: Arc<Error>| (*error).clone())
    }

    /// Forgets an event that has changed, here and at the other replicas.
    pub(crate) async fn forget(&self, id: EventId) {
        self.drop_event(id).await;
        self.announce(id).await;
    }

    /// Has the other replicas forget an event.
    pub(crate) async fn announce(&self, id: EventId) {
        let message = Bytes::copy_from_slice(id.uuid().as_bytes());
        if let Err(error) = self.kv.publish(CHANGED, message).await {
            tracing::warn!(%error, event_id = %id, "other replicas not told of the change");
        }
    }

    /// Starts forgetting what other replicas have changed.
    pub(crate) fn follow(self, tasks: &Tasks) {
        let stopping = tasks.stopping();
        tasks.spawn("event_cache", async move {
            while !stopping.is_cancelled() {
                let lost = tokio::select! {
                    () = stopping.cancelled() => return,
                    lost = self.followed() => lost,
                };
                self.drop_all();
                if let Err(error) = lost {
                    tracing::warn!(%error, "can't follow changes of events");
                }
                // Nothing tells when the store is back.
                let _ = tokio::time::timeout(RESUBSCRIBE, stopping.cancelled()).await;
            }
        });
    }

    /// Follows one subscription to its end.
    async fn followed(&self) -> Result<(), Failure> {
        let mut changed: Subscription = self.kv.subscribe(CHANGED).await?;
        // What was told before is not heard any more.
        self.drop_all();
        while let Some(received) = changed.next().await {
            match received {
                Received::Message(id) => {
                    if let Ok(id) = Uuid::from_slice(&id) {
                        self.drop_event(EventId::from_uuid(id)).await;
                    }
                }
                Received::Missed(_) => self.drop_all(),
            }
        }
        Ok(())
    }

    async fn drop_event(&self, id: EventId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.events.invalidate(&id).await;
    }

    fn drop_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.events.invalidate_all();
    }
}
