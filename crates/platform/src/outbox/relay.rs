//! The relay: hands outbox rows to the event log in order, and deletes those that the log has.
//!
//! Rows are deleted only after the log has them, and the oldest go first, so two relays at once
//! would do no harm: the log passes over ids that it has, and each event's first appearance stays
//! in order. A lease saves the double work.

use std::{sync::Arc, time::Duration};

use db::{Db, Engine, Row, Tx, Value};
use kernel::{Failure, Ids, Timestamp};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    Metrics, SystemIds, Tasks,
    bus::{Bus, Envelope},
};

/// How often to look without being woken: for other replicas' events, and what a crash left.
const PERIOD: Duration = Duration::from_millis(250);
/// The most events handed to the log at once.
const BATCH: i64 = 500;

/// Starts the relay of `db` to `bus`.
pub(super) fn start(wake: Arc<Notify>, db: Db, bus: Bus, metrics: &Metrics, tasks: &Tasks) {
    let relay = Arc::new(Relay::new(db, bus, metrics));
    tasks.every("outbox relay", PERIOD, wake, move || {
        let relay = relay.clone();
        async move {
            relay.drain().await?;
            Ok(false)
        }
    });
}

pub(super) struct Relay {
    db: Db,
    pub(super) bus: Bus,
    /// Names this relay in the lease.
    holder: Uuid,
    published: Counter,
    failures: Counter,
    pending: Gauge,
}

/// Rows on their way to the log.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) sequences: Vec<i64>,
    pub(super) events: Vec<Envelope>,
}

impl Relay {
    pub(super) fn new(db: Db, bus: Bus, metrics: &Metrics) -> Self {
        let published = metrics.register(
            "outbox_published",
            "Events that were handed to the event log.",
            Counter::default(),
        );
        let failures =
            metrics.register("outbox_failures", "Failed tries to relay.", Counter::default());
        let pending = metrics.register(
            "outbox_pending",
            "Events that wait, as last seen; at most one batch.",
            Gauge::default(),
        );
        Self { db, bus, holder: SystemIds.uuid(Timestamp::EPOCH), published, failures, pending }
    }

    /// Hands all rows to the log, batch after batch.
    pub(super) async fn drain(&self) -> Result<(), Failure> {
        let drained = self.try_drain().await;
        if drained.is_err() {
            self.failures.inc();
        }
        drained
    }

    async fn try_drain(&self) -> Result<(), Failure> {
        if !self.any().await? {
            self.pending.set(0);
            return Ok(());
        }
        let mut batch = self.next(Vec::new()).await?;
        while !batch.events.is_empty() {
            self.bus.publish(&batch.events).await?;
            self.published.inc_by(batch.events.len().try_into().unwrap_or(u64::MAX));
            batch = self.next(batch.sequences).await?;
        }
        Ok(())
    }

    /// Whether any row waits. Reads only, as most looks find nothing.
    async fn any(&self) -> Result<bool, Failure> {
        const ANY: &str = "select 1 from boxoffice_outbox limit 1";
        let any = self
            .db
            .read(|tx| Box::pin(async move { Ok::<_, Failure>(tx.query_opt(ANY, &[]).await?) }));
        Ok(any.await?.is_some())
    }

    /// Deletes the rows that the log has, and reads the next ones: one transaction a batch. Empty
    /// if another relay is at it.
    pub(super) async fn next(&self, done: Vec<i64>) -> Result<Batch, Failure> {
        let holder = self.holder;
        let rows = self
            .db
            .write(move |tx| {
                let done = done.clone();
                Box::pin(async move { advance(tx, holder, done).await })
            })
            .await?;
        let mut batch = Batch::default();
        for row in rows {
            batch.sequences.push(row.get(0)?);
            batch.events.push(envelope(&row)?);
        }
        self.pending.set(batch.events.len().try_into().unwrap_or(i64::MAX));
        Ok(batch)
    }
}

async fn advance(tx: &mut Tx, holder: Uuid, done: Vec<i64>) -> Result<Vec<Row>, Failure> {
    const DELETE: db::Sql = db::Sql::split(
        "delete from boxoffice_outbox where seq = any($1)",
        "delete from boxoffice_outbox where seq in (select value from json_each($1))",
    );
    const NEXT: &str = "select seq, id, topic, key, kind, source, at, correlation_id, content
        from boxoffice_outbox order by seq limit $1";
    if !done.is_empty() {
        tx.execute(DELETE, &[done.into()]).await?;
    }
    if !take_lease(tx, holder).await? {
        return Ok(Vec::new());
    }
    let rows = tx.query(NEXT, &[Value::I64(BATCH)]).await?;
    if rows.is_empty() {
        release_lease(tx, holder).await?;
    }
    Ok(rows)
}

/// Takes or renews the lease, by the database's clock; `false` if another relay has it. A SQLite
/// file has one process.
async fn take_lease(tx: &mut Tx, holder: Uuid) -> Result<bool, db::Error> {
    const TAKE: &str = "insert into boxoffice_lease (name, holder, expires_at)
        values ('outbox', $1, clock_timestamp() + interval '5 seconds')
        on conflict (name) do update
          set holder = excluded.holder, expires_at = excluded.expires_at
          where boxoffice_lease.holder = excluded.holder
            or boxoffice_lease.expires_at < clock_timestamp()";
    match tx.engine() {
        Engine::Postgres => Ok(tx.execute(TAKE, &[holder.into()]).await? == 1),
        Engine::Sqlite => Ok(true),
    }
}

/// Gives the lease back at once, so that no replica waits for it to run out.
async fn release_lease(tx: &mut Tx, holder: Uuid) -> Result<(), db::Error> {
    const RELEASE: &str = "delete from boxoffice_lease where name = 'outbox' and holder = $1";
    if tx.engine() == Engine::Postgres {
        tx.execute(RELEASE, &[holder.into()]).await?;
    }
    Ok(())
}

fn envelope(row: &Row) -> Result<Envelope, db::Error> {
    Ok(Envelope {
        id: row.get(1)?,
        topic: row.get::<String>(2)?.into(),
        key: row.get(3)?,
        kind: row.get::<String>(4)?.into(),
        source: row.get::<String>(5)?.into(),
        at: row.get(6)?,
        correlation_id: row.get::<String>(7)?.into(),
        content: row.get(8)?,
    })
}
