//! The transactional outbox: events are written beside the state, and relayed to the event log by a
//! task.

mod relay;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use db::{Db, Engine, Sql, Tx, Value};
use tokio::sync::Notify;

use crate::{
    Metrics, Tasks,
    bus::{Bus, Envelope},
};

/// The outbox of one service. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    wake: Arc<Notify>,
    /// Whether rows were written here since the relay last looked.
    is_written: Arc<AtomicBool>,
}

impl Outbox {
    /// The outbox of a service.
    #[must_use]
    pub fn new() -> Self {
        Self { wake: Arc::default(), is_written: Arc::default() }
    }

    /// Writes events in the transaction of the change that they tell about. Order is kept per key
    /// where the transaction holds the aggregate's row before it appends.
    ///
    /// # Errors
    /// Why the database refused.
    pub async fn append(&self, tx: &mut Tx, events: &[Envelope]) -> Result<(), db::Error> {
        if events.is_empty() {
            return Ok(());
        }
        match tx.engine() {
            Engine::Postgres => tx.execute(APPEND, &columns(events)).await?,
            Engine::Sqlite => tx.execute_many(APPEND, &rows(events)).await?,
        };
        Ok(())
    }

    /// Has the relay look at once; call it after the transaction has committed. Forgetting it costs
    /// latency, never an event.
    pub fn wake(&self) {
        self.is_written.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Starts the relay: rows go to the bus in order, and are removed once the bus has them. At
    /// least once. Any number of replicas may run it.
    pub fn relay(&self, db: Db, bus: Bus, metrics: &Metrics, tasks: &Tasks) {
        relay::start(self.clone(), db, bus, metrics, tasks);
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
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
