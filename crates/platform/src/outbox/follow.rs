//! On SQLite with the log in the process, the outbox is the log of its topic: rows are committed in
//! the order of their numbers, without gaps, and stay until all groups have passed them. So nothing
//! is copied; the follower only tells the groups what is new.

use std::{sync::Arc, time::Duration};

use db::{Db, Tx, Value};
use kernel::Failure;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Meters, batch::envelopes};
use crate::{
    Metrics, Tasks,
    bus::{Envelope, Followed},
};

/// How often to look without being woken.
const PERIOD: Duration = Duration::from_millis(250);
/// The most events told at once.
const BATCH: i64 = 1_000;
/// The least time from one look to the next: in a rush what is written meanwhile is told together.
const PACE: Duration = Duration::from_millis(20);

/// In a rush a row has more events than this.
const EVENTS_A_ROW: i64 = 8;

const LAST: &str = "select seq from sqlite_sequence where name = 'boxoffice_outbox_batches'";
const FIRST: &str = "select seq - count + 1 from boxoffice_outbox_batches order by seq limit 1";
const AFTER: &str = "select seq, count, topic, events from boxoffice_outbox_batches
    where seq > $1 order by seq limit $2";
const PASSED: &str = "select seq from boxoffice_outbox_batches where seq <= $1
    order by seq limit 1 offset $2";
const TRIM: &str = "delete from boxoffice_outbox_batches where seq <= $1";

/// Starts to tell the groups of `log` what is written to the outbox in `db`.
pub(super) fn start(
    wake: Arc<Notify>,
    followed: Followed,
    db: Db,
    metrics: &Metrics,
    tasks: &Tasks,
) {
    let meters = Meters::new(metrics);
    let told = Arc::new(tokio::sync::Mutex::new(None));
    let stopping = tasks.stopping();
    let follower = Arc::new(Follower { db, followed, meters });
    tasks.every("outbox follower", PERIOD, wake, move || {
        let (follower, told, stopping) = (follower.clone(), told.clone(), stopping.clone());
        async move {
            let ended = follower.tell_all(&mut *told.lock().await, &stopping).await;
            if ended.is_err() {
                follower.meters.failures.inc();
            }
            ended.map(|()| false)
        }
    });
}

struct Follower {
    db: Db,
    followed: Followed,
    meters: Meters,
}

impl Follower {
    /// Tells what was written after `told`, the number of the last event that was told; the groups
    /// read for themselves what had been written before.
    async fn tell_all(
        &self,
        told: &mut Option<i64>,
        stopping: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut last = match *told {
            Some(last) => last,
            None => {
                let (_, last) = ends(&self.db).await?;
                self.followed.tell(last, &[]);
                *told.insert(last)
            }
        };
        loop {
            let next_at = Instant::now() + PACE;
            let (events, there) = page(&self.db, last, BATCH).await?;
            let Some((newest, _)) = events.last() else { return Ok(()) };
            last = *newest;
            self.followed.tell(last, &events);
            *told = Some(last);
            self.meters.published.inc_by(events.len().try_into().unwrap_or(u64::MAX));
            if last >= there {
                stopping.run_until_cancelled(sleep_until(next_at)).await;
            }
        }
    }
}

/// About as many events as `limit` of an outbox that is a log, from the one after number `seq` on,
/// and the number of the last that there is at the same moment.
pub(crate) async fn page(
    db: &Db,
    seq: i64,
    limit: i64,
) -> Result<(Vec<(i64, Envelope)>, i64), Failure> {
    let rows = limit / EVENTS_A_ROW + 1;
    let read = db.read(move |tx| {
        Box::pin(async move {
            let rows = tx.query(AFTER, &[seq.into(), rows.into()]).await?;
            Ok::<_, Failure>((rows, number(tx, LAST, &[]).await?.unwrap_or(0)))
        })
    });
    let (rows, last) = read.await?;
    let mut events = Vec::new();
    for row in &rows {
        let first = row.get::<i64>(0)? - row.get::<i64>(1)? + 1;
        let numbered = (first..).zip(envelopes(row, 2)?);
        events.extend(numbered.filter(|(number, _)| *number > seq));
    }
    Ok((events, last))
}

/// The numbers of the first event of an outbox that is a log, as far as it was not trimmed, and of
/// the last that ever was. Where there is none any more, the first is the one that will come.
pub(crate) async fn ends(db: &Db) -> Result<(i64, i64), Failure> {
    db.read(|tx| {
        Box::pin(async move {
            let last = number(tx, LAST, &[]).await?.unwrap_or(0);
            Ok((number(tx, FIRST, &[]).await?.unwrap_or(last + 1), last))
        })
    })
    .await
}

/// Deletes the events of an outbox that is a log up to number `seq`, as far as all of their rows
/// are; at most `limit` rows. Answers whether there are more.
pub(crate) async fn trim(db: &Db, seq: i64, limit: i64) -> Result<bool, Failure> {
    let ends = db.read(move |tx| {
        Box::pin(async move {
            let first = number(tx, PASSED, &[seq.into(), Value::I64(0)]).await?;
            let after = number(tx, PASSED, &[seq.into(), limit.into()]).await?;
            Ok::<_, Failure>((first, after))
        })
    });
    let (first, after) = ends.await?;
    if first.is_some() {
        let last = after.map_or(seq, |after| after - 1);
        db.write(move |tx| {
            Box::pin(async move { Ok::<_, Failure>(tx.execute(TRIM, &[last.into()]).await?) })
        })
        .await?;
    }
    Ok(after.is_some())
}

async fn number(tx: &mut Tx, sql: &'static str, params: &[Value]) -> Result<Option<i64>, Failure> {
    let row = tx.query_opt(sql, params).await?;
    Ok(row.map_or(Ok(None), |row| row.get(0))?)
}
