//! The transactional outbox: events are written beside the state, and relayed to the event log by a
//! task; or read in place, where outbox and log are in one process on SQLite.

pub(crate) mod follow;
mod relay;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use db::{Db, Engine, Row, Sql, Tx, Value};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::sync::Notify;

use crate::{
    Metrics, Tasks,
    bus::{self, Bus, Envelope},
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
        match tx.engine() {
            Engine::Postgres => tx.execute(APPEND, &columns(events)).await?,
            Engine::Sqlite => tx.execute_many(APPEND, &rows(events)).await?,
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

/// The event of a row: number, id, topic, key, kind, source, moment, correlation, content.
fn envelope(row: &Row) -> Result<Envelope, db::Error> {
    Ok(Envelope {
        id: row.get(1)?,
        topic: bus::topic(row.get(2)?),
        key: row.get(3)?,
        kind: row.get::<String>(4)?.into(),
        source: row.get::<String>(5)?.into(),
        at: row.get(6)?,
        correlation_id: row.get::<String>(7)?.into(),
        content: row.get::<String>(8)?.into(),
    })
}

/// On PostgreSQL one statement for all rows, numbered in their order; on SQLite one statement a
/// row.
const APPEND: Sql = Sql::split(
    "insert into boxoffice_outbox (id, topic, key, kind, source, at, correlation_id, content)
     select id, topic, key, kind, source, at, correlation_id, content
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                 $7::text[], $8::text[]) with ordinality
       as event (id, topic, key, kind, source, at, correlation_id, content, position)
     order by position",
    "insert into boxoffice_outbox (id, topic, key, kind, source, at, correlation_id, content)
     values ($1, $2, $3, $4, $5, $6, $7, $8)",
);

fn columns(events: &[Envelope]) -> [Value; 8] {
    let texts = |of: fn(&Envelope) -> String| Value::Texts(events.iter().map(of).collect());
    [
        Value::Uuids(events.iter().map(|event| event.id.uuid()).collect()),
        texts(|event| event.topic.to_string()),
        texts(|event| event.key.clone()),
        texts(|event| event.kind.to_string()),
        texts(|event| event.source.to_string()),
        Value::Times(events.iter().map(|event| event.at).collect()),
        texts(|event| event.correlation_id.to_string()),
        texts(|event| (*event.content).to_owned()),
    ]
}

fn rows(events: &[Envelope]) -> Vec<Vec<Value>> {
    let row = |event: &Envelope| {
        vec![
            event.id.into(),
            event.topic.as_ref().into(),
            event.key.as_str().into(),
            event.kind.as_ref().into(),
            event.source.as_ref().into(),
            event.at.into(),
            event.correlation_id.as_ref().into(),
            event.content.as_ref().into(),
        ]
    };
    events.iter().map(row).collect()
}
