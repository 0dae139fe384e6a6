//! The transactional outbox: events are written beside the state, and relayed to the event log by a
//! task; or read in place, where outbox and log are in one process on SQLite.

mod batch;
pub(crate) mod follow;
mod relay;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use db::{Db, Engine, Sql, Tx, Value};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::sync::Notify;

use crate::{
    Metrics, Tasks,
    bus::{Bus, Envelope},
};

/// The outbox of one service, which tells of one topic. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    topic: &'static str,
    wake: Arc<Notify>,
    /// Whether rows were written here since the relay last looked.
    is_written: Arc<AtomicBool>,
}

impl Outbox {
    /// The outbox of the service whose facts are on `topic`.
    #[must_use]
    pub fn new(topic: &'static str) -> Self {
        Self { topic, wake: Arc::default(), is_written: Arc::default() }
    }

    /// Writes events in the transaction of the change that they tell about. Order is kept per key
    /// where the transaction holds the aggregate's row before it appends.
    ///
    /// # Errors
    /// Why the database refused; or if an event is on another topic.
    pub async fn append(&self, tx: &mut Tx, events: &[Envelope]) -> Result<(), db::Error> {
        if events.is_empty() {
            return Ok(());
        }
        if let Some(other) = events.iter().find(|event| event.topic != self.topic) {
            let text = format!("{} is on {}, not on {}", other.kind, other.topic, self.topic);
            return Err(db::Error::Statement(text));
        }
        let batches = batch::batches(events);
        let batches = batches.map_err(|error| db::Error::Statement(error.to_string()))?;
        let topic = || Value::from(self.topic);
        match tx.engine() {
            Engine::Postgres => {
                let events = batches.into_iter().map(|batch| batch.events).collect();
                tx.execute(APPEND, &[topic(), Value::Texts(events)]).await?
            }
            Engine::Sqlite => {
                let row =
                    |batch: batch::Batch| vec![topic(), batch.events.into(), batch.count.into()];
                tx.execute_many(APPEND, &batches.into_iter().map(row).collect::<Vec<_>>()).await?
            }
        };
        Ok(())
    }

    /// Has the log look at once; call it after the transaction has committed. Forgetting it costs
    /// latency, never an event.
    pub fn wake(&self) {
        self.is_written.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Has the events reach the bus, in order, at least once. A task relays them, and removes each
    /// once the bus has it; any number of replicas may run it. Where the bus is in this process and
    /// `db` on SQLite, the bus reads them here, and removes what is not needed any more.
    pub fn relay(&self, db: Db, bus: Bus, metrics: &Metrics, tasks: &Tasks) {
        match bus.follow(self.topic, &db) {
            Some(followed) => follow::start(self.wake.clone(), followed, db, metrics, tasks),
            None => relay::start(self.clone(), db, bus, metrics, tasks),
        }
    }
}

/// What is counted of an outbox.
struct Meters {
    published: Counter,
    failures: Counter,
    pending: Gauge,
}

impl Meters {
    fn new(metrics: &Metrics) -> Self {
        let published = metrics.register(
            "outbox_published",
            "Events that were handed to the event log.",
            Counter::default(),
        );
        let failures = metrics.register(
            "outbox_failures",
            "Failed tries to hand events to the event log.",
            Counter::default(),
        );
        let pending = metrics.register(
            "outbox_pending",
            "Events that wait, as last seen; at most one batch.",
            Gauge::default(),
        );
        Self { published, failures, pending }
    }
}

/// On PostgreSQL one statement for all rows, numbered in their order; on SQLite one statement a
/// row, whose number is that of its last event.
const APPEND: Sql = Sql::split(
    "insert into boxoffice_outbox_batches (topic, events)
     select $1, events from unnest($2::text[]) with ordinality as batch (events, position)
     order by position",
    "insert into boxoffice_outbox_batches (topic, events, count, seq)
     values ($1, $2, $3, $3 + coalesce(
       (select seq from sqlite_sequence where name = 'boxoffice_outbox_batches'), 0))",
);
