//! On SQLite with the log in the process, the outbox is the log of its topic: rows are committed in
//! the order of their numbers, without gaps, and stay until all groups have passed them. So nothing
//! is copied; the follower only tells the groups what is new.

use std::{sync::Arc, time::Duration};

use db::{Db, Row, Tx};
use kernel::Failure;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Meters, envelope};
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

const LAST: &str = "select seq from sqlite_sequence where name = 'boxoffice_outbox'";
const FIRST: &str = "select min(seq) from boxoffice_outbox";
const AFTER: &str = "select seq, id, topic, key, kind, source, at, correlation_id, content
    from boxoffice_outbox where seq > $1 order by seq limit $2";
const TRIM: &str = "delete from boxoffice_outbox where seq <= $1";

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
            let (events, _) = page(&self.db, last, BATCH).await?;
            let Some((newest, _)) = events.last() else { return Ok(()) };
            last = *newest;
            self.followed.tell(last, &events);
            *told = Some(last);
            self.meters.published.inc_by(events.len().try_into().unwrap_or(u64::MAX));
            if events.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                stopping.run_until_cancelled(sleep_until(next_at)).await;
            }
        }
    }
}

/// Up to `limit` events of an outbox that is a log, from the one after number `seq` on, and the
/// number of the last that there is at the same moment.
pub(crate) async fn page(
    db: &Db,
    seq: i64,
    limit: i64,
) -> Result<(Vec<(i64, Envelope)>, i64), Failure> {
    let read = db.read(move |tx| {
        Box::pin(async move {
            let rows = tx.query(AFTER, &[seq.into(), limit.into()]).await?;
            Ok::<_, Failure>((rows, number(tx, LAST).await?.unwrap_or(0)))
        })
    });
    let (rows, last) = read.await?;
    let numbered = |row: &Row| Ok::<_, Failure>((row.get(0)?, envelope(row)?));
    Ok((rows.iter().map(numbered).collect::<Result<_, _>>()?, last))
}

/// The numbers of the first event of an outbox that is a log, as far as it was not trimmed, and of
/// the last that ever was. Where there is none any more, the first is the one that will come.
pub(crate) async fn ends(db: &Db) -> Result<(i64, i64), Failure> {
    db.read(|tx| {
        Box::pin(async move {
            let last = number(tx, LAST).await?.unwrap_or(0);
            Ok((number(tx, FIRST).await?.unwrap_or(last + 1), last))
        })
    })
    .await
}

/// Deletes the events of an outbox that is a log up to number `seq`.
pub(crate) async fn trim(db: &Db, seq: i64) -> Result<(), Failure> {
    db.write(move |tx| {
        Box::pin(async move { Ok::<_, Failure>(tx.execute(TRIM, &[seq.into()]).await?) })
    })
    .await
    .map(drop)
}

async fn number(tx: &mut Tx, sql: &'static str) -> Result<Option<i64>, Failure> {
    let row = tx.query_opt(sql, &[]).await?;
    Ok(row.map_or(Ok(None), |row| row.get(0))?)
}
