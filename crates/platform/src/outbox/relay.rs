//! The relay: hands outbox rows to the event log in order, and deletes those that the log has.
//!
//! Rows are deleted only after the log has them, and the oldest go first, so two relays at once
//! would do no harm: the log passes over ids that it has, and each event's first appearance stays
//! in order. A lease saves the double work.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use db::{Db, Engine, Row, Tx, Value};
use kernel::{Failure, Ids, Timestamp};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Meters, Outbox, batch::envelopes};
use crate::{
    Metrics, SystemIds, Tasks,
    bus::{Bus, Envelope},
};

/// How often to look without being woken: for other replicas' events, and what a crash left.
const PERIOD: Duration = Duration::from_millis(250);
/// The most rows whose events are handed to the log at once.
const BATCH: usize = 100;
/// The least time from one batch's beginning to the next: in a rush what is written meanwhile
/// shares the next one. What comes after a rest goes at once.
const PACE: Duration = Duration::from_millis(30);
/// How long a lease that was taken is not renewed; it lasts for five seconds.
const RENEW: Duration = Duration::from_secs(2);

/// Starts the relay of `db` to `bus`.
pub(super) fn start(outbox: Outbox, db: Db, bus: Bus, metrics: &Metrics, tasks: &Tasks) {
    let (relay, stopping) = (Arc::new(Relay::new(db, bus, metrics)), tasks.stopping());
    tasks.every("outbox relay", PERIOD, outbox.wake, move || {
        let (relay, stopping) = (relay.clone(), stopping.clone());
        let is_written = outbox.is_written.swap(false, Ordering::AcqRel);
        async move {
            if is_written || relay.any().await? {
                relay.drain(&stopping).await?;
            }
            Ok(false)
        }
    });
}

pub(super) struct Relay {
    db: Db,
    pub(super) bus: Bus,
    /// Names this relay in the lease.
    holder: Uuid,
    /// When it last took the lease, if it has it.
    leased_at: Mutex<Option<Instant>>,
    meters: Meters,
}

/// Rows on their way to the log.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) sequences: Vec<i64>,
    pub(super) events: Vec<Envelope>,
}

impl Relay {
    pub(super) fn new(db: Db, bus: Bus, metrics: &Metrics) -> Self {
        let (holder, leased_at) = (SystemIds.uuid(Timestamp::EPOCH), Mutex::default());
        Self { db, bus, holder, leased_at, meters: Meters::new(metrics) }
    }

    /// Hands all rows to the log, batch after batch, and without pauses once it is stopping.
    pub(super) async fn drain(&self, stopping: &CancellationToken) -> Result<(), Failure> {
        let drained = self.try_drain(stopping).await;
        if drained.is_err() {
            self.meters.failures.inc();
        }
        drained
    }

    async fn try_drain(&self, stopping: &CancellationToken) -> Result<(), Failure> {
        let mut done = Vec::new();
        loop {
            let next_at = Instant::now() + PACE;
            let batch = self.next(done).await?;
            if batch.events.is_empty() {
                return Ok(());
            }
            self.bus.publish(&batch.events).await?;
            self.meters.published.inc_by(batch.events.len().try_into().unwrap_or(u64::MAX));
            if batch.sequences.len() < BATCH {
                stopping.run_until_cancelled(sleep_until(next_at)).await;
            }
            done = batch.sequences;
        }
    }

    /// Whether any row waits. Reads only, as most looks find nothing.
    pub(super) async fn any(&self) -> Result<bool, Failure> {
        const ANY: &str = "select 1 from boxoffice_outbox_batches limit 1";
        let any = self
            .db
            .read(|tx| Box::pin(async move { Ok::<_, Failure>(tx.query_opt(ANY, &[]).await?) }));
        let any = any.await?.is_some();
        self.meters.pending.set(i64::from(any));
        Ok(any)
    }

    /// Deletes the rows that the log has, and reads the next ones: one transaction a batch, whose
    /// flush nobody waits for, as what a crash undoes of it is published again. Empty if another
    /// relay is at it.
    pub(super) async fn next(&self, done: Vec<i64>) -> Result<Batch, Failure> {
        let (holder, now) = (self.holder, Instant::now());
        let leased_at = *self.leased_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_leased = leased_at.is_some_and(|at| now < at + RENEW);
        let rows = self
            .db
            .write(move |tx| {
                let done = done.clone();
                Box::pin(async move {
                    if tx.engine() == Engine::Postgres {
                        tx.execute("set local synchronous_commit = off", &[]).await?;
                    }
                    let is_leased = is_leased || take_lease(tx, holder).await?;
                    let rows = advance(tx, done, if is_leased { BATCH } else { 0 }).await?;
                    if is_leased && rows.is_empty() {
                        release_lease(tx, holder).await?;
                    }
                    Ok::<_, Failure>(rows)
                })
            })
            .await?;
        let leased_at = if is_leased { leased_at } else { Some(now) };
        *self.leased_at.lock().unwrap_or_else(PoisonError::into_inner) =
            leased_at.filter(|_| !rows.is_empty());
        let mut batch = Batch::default();
        for row in rows {
            batch.sequences.push(row.get(0)?);
            batch.events.extend(envelopes(&row, 1)?);
        }
        self.meters.pending.set(batch.events.len().try_into().unwrap_or(i64::MAX));
        Ok(batch)
    }
}

/// Deletes rows, and reads up to `limit` others: on PostgreSQL in one statement. SQLite's rows are
/// committed in the order of their numbers, so that all up to the last that was read are done.
async fn advance(tx: &mut Tx, done: Vec<i64>, limit: usize) -> Result<Vec<Row>, db::Error> {
    const ADVANCE: &str = "with gone as (delete from boxoffice_outbox_batches where seq = any($1))
        select seq, topic, events from boxoffice_outbox_batches where seq <> all($1)
        order by seq limit $2";
    const DELETE: &str = "delete from boxoffice_outbox_batches where seq <= $1";
    const NEXT: &str = "select seq, topic, events from boxoffice_outbox_batches
        order by seq limit $1";
    let limit = Value::I64(i64::try_from(limit).unwrap_or(i64::MAX));
    let Some(last) = done.last().copied() else { return tx.query(NEXT, &[limit]).await };
    match tx.engine() {
        Engine::Postgres => tx.query(ADVANCE, &[done.into(), limit]).await,
        Engine::Sqlite => {
            tx.execute(DELETE, &[last.into()]).await?;
            tx.query(NEXT, &[limit]).await
        }
    }
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
