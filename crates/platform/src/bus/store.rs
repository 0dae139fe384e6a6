//! The SQL of the event log in this process.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use db::{Coalescer, CoalescerSettings, Db, Error, Migration, Migrations, Row, Sql, Tx, Value};
use kernel::Failure;

use super::{
    DeadLetter,
    cloud_event::{Record, Told},
    lanes::Tried,
    streams::{Outboxes, Page, is_outbox, outbox_of},
    window::Changes,
};
use crate::outbox::follow;

const POSTGRES: Migration =
    Migration { name: "0001_bus", sql: include_str!("../../migrations/postgres/0001_bus.sql") };
const SQLITE: Migration =
    Migration { name: "0001_bus", sql: include_str!("../../migrations/sqlite/0001_bus.sql") };
const SQLITE_ROWS: Migration = Migration {
    name: "0002_bus_rows",
    sql: include_str!("../../migrations/sqlite/0002_bus_rows.sql"),
};

/// The tables of the event log.
pub(super) const MIGRATIONS: Migrations =
    Migrations { owner: "bus", postgres: &[POSTGRES], sqlite: &[SQLITE, SQLITE_ROWS] };

/// Locks the topic for this transaction, so that events are committed in the order of their
/// numbers: a reader that sees one has seen all before it.
const LOCK_TOPIC: &str = "
    insert into bus_topics (topic, last) values ($1, 0)
    on conflict (topic) do update set last = bus_topics.last returning last";
const SAVE_TOPIC: &str = "update bus_topics set last = $1 where topic = $2";
const APPEND: &str = "
    insert into bus_log (topic, seq, id, key, event) values ($1, $2, $3, $4, $5)
    on conflict (id) do nothing";
const LAST: &str = "select last from bus_topics where topic = $1";
const READ: &str = "
    select seq, id, key, event from bus_log
    where topic = $1 and seq > $2 order by seq limit $3";
const FIRST: &str = "select min(seq) from bus_log where topic = $1";

const NEW_GROUP: &str = "
    insert into bus_offsets (grp, topic, seq) values ($1, $2, 0)
    on conflict (grp, topic) do nothing";
const OFFSET: &str = "select seq from bus_offsets where grp = $1 and topic = $2";
const SAVE_OFFSET: &str = "update bus_offsets set seq = $1 where grp = $2 and topic = $3";
const PASSED_BY_ALL: &str = "select min(seq) from bus_offsets where topic = $1";
/// Numbers are without gaps, so that this is a bounded number of rows.
const TRIM: &str = "delete from bus_log where topic = $1 and seq <= $2 and seq < $3";

const PARKED: &str = "
    select topic, id, key, event, attempts, faults from bus_parked
    where grp = $1 order by number";
const PARKED_COUNT: &str = "select count(*) from bus_parked where grp = $1 and topic = $2";
const PARK: &str = "
    insert into bus_parked (grp, topic, id, key, event, attempts, faults, error)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    on conflict (grp, id) do update
    set attempts = excluded.attempts, faults = excluded.faults, error = excluded.error";
const UNPARK: &str = "delete from bus_parked where grp = $1 and id = $2";

const BURY: &str = "
    insert into bus_dead_letters (grp, topic, id, key, event, attempts, error)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (grp, id) do update set attempts = excluded.attempts, error = excluded.error";
const DEAD: &str = "
    select topic, id, key, event, attempts, number, error from bus_dead_letters
    where grp = $1 order by number limit $2";
const EXHUME: &str = "
    delete from bus_dead_letters where number = $1 returning topic, id, key, event, grp";

/// Where a group was.
pub(super) struct Progress {
    /// Of each stream, the number of the last event that is done or parked.
    pub(super) offsets: Vec<i64>,
    pub(super) parked: Vec<Tried>,
}

/// Appends what is published at the same time in one transaction, and answers the events' numbers;
/// those that the log has are passed over, and get none.
pub(super) fn appender(db: Db) -> Coalescer<Arc<[Record]>, Vec<Option<i64>>, Failure> {
    // One lane: a second would only wait for the first's topics.
    let settings = CoalescerSettings { max_batch: 256, max_waiting: 4_096, lanes: 1 };
    Coalescer::new(db, settings, |tx, published: &[Arc<[Record]>]| {
        Box::pin(async move {
            let records: Vec<&Record> = published.iter().flat_map(|own| own.iter()).collect();
            let mut numbers = append(tx, &records).await?.into_iter();
            let own = |own: &Arc<[Record]>| Ok(numbers.by_ref().take(own.len()).collect());
            Ok(published.iter().map(own).collect())
        })
    })
}

async fn append(tx: &mut Tx, records: &[&Record]) -> Result<Vec<Option<i64>>, Error> {
    let mut numbers = vec![None; records.len()];
    let topics: BTreeSet<&str> = records.iter().map(|record| &*record.topic).collect();
    for topic in topics {
        let mut last: i64 = tx.query_one(LOCK_TOPIC, &[topic.into()]).await?.get(0)?;
        let all = records.iter().zip(&mut numbers);
        for (record, number) in all.filter(|(record, _)| record.topic == topic) {
            let id = record.id.into();
            let (key, event) = ((&*record.key).into(), record.event().into());
            let params = [topic.into(), Value::I64(last + 1), id, key, event];
            if tx.execute(APPEND, &params).await? > 0 {
                last += 1;
                *number = Some(last);
            }
        }
        tx.execute(SAVE_TOPIC, &[last.into(), topic.into()]).await?;
    }
    Ok(numbers)
}

/// At most `limit` events of each stream that come after the number beside it.
pub(super) async fn read(
    db: &Db,
    outboxes: &Outboxes,
    after: Vec<(&'static str, i64)>,
    limit: u32,
) -> Result<Vec<Page>, Failure> {
    let own: Vec<_> = after.iter().copied().filter(|(stream, _)| !is_outbox(stream)).collect();
    let mut own = read_own(db, own, limit).await?.into_iter();
    let mut pages = Vec::with_capacity(after.len());
    for (stream, seq) in after {
        pages.push(if is_outbox(stream) {
            outboxes.read(stream, seq, limit).await?
        } else {
            own.next().unwrap_or(Page::nothing(seq))
        });
    }
    Ok(pages)
}

async fn read_own(
    db: &Db,
    after: Vec<(&'static str, i64)>,
    limit: u32,
) -> Result<Vec<Page>, Failure> {
    let after: Arc<[_]> = after.into();
    db.read(move |tx| {
        let after = after.clone();
        Box::pin(async move {
            let mut pages = Vec::with_capacity(after.len());
            for (topic, seq) in after.iter() {
                let last = number(tx, LAST, &[(*topic).into()]).await?.unwrap_or(0);
                let params = [(*topic).into(), Value::I64(*seq), limit.into()];
                let rows = if last > *seq { tx.query(READ, &params).await? } else { Vec::new() };
                let records = rows
                    .iter()
                    .map(|row| Ok((row.get(0)?, record(row, Cow::Borrowed(*topic), 1)?)));
                let records: Vec<_> = records.collect::<Result<_, Error>>()?;
                let is_whole = records.len() < limit as usize;
                pages.push(Page { last, records, is_whole });
            }
            Ok(pages)
        })
    })
    .await
}

/// Where `group` was, or the beginning if it is new.
pub(super) async fn begin(
    db: &Db,
    group: &'static str,
    streams: Arc<[&'static str]>,
) -> Result<Progress, Failure> {
    db.write(move |tx| {
        let streams = streams.clone();
        Box::pin(async move {
            let mut offsets = Vec::with_capacity(streams.len());
            for stream in streams.iter() {
                let params = [group.into(), (*stream).into()];
                tx.execute(NEW_GROUP, &params).await?;
                offsets.push(tx.query_one(OFFSET, &params).await?.get(0)?);
            }
            let rows = tx.query(PARKED, &[group.into()]).await?;
            let parked = rows.iter().map(|row| {
                let record = record(row, Cow::Owned(row.get(0)?), 1)?;
                let (attempts, faults) = (row.get(4)?, row.get(5)?);
                Ok(Tried { record, attempts, faults, error: String::new() })
            });
            let parked = parked.collect::<Result<_, Error>>()?;
            Ok(Progress { offsets, parked })
        })
    })
    .await
}

/// Stores how far a group has come.
pub(super) async fn save(
    db: &Db,
    group: &'static str,
    changes: Arc<Changes>,
) -> Result<(), Failure> {
    db.write(move |tx| {
        let changes = changes.clone();
        Box::pin(async move { Ok(save_all(tx, group, &changes).await?) })
    })
    .await
}

async fn save_all(tx: &mut Tx, group: &'static str, changes: &Changes) -> Result<(), Error> {
    let rows = changes.parked.iter().map(|tried| {
        let mut row = event(group, &tried.record);
        row.extend([tried.attempts.into(), tried.faults.into(), (&tried.error).into()]);
        row
    });
    many(tx, PARK, rows.collect()).await?;
    let rows = changes.unparked.iter().map(|id| vec![group.into(), (*id).into()]);
    many(tx, UNPARK, rows.collect()).await?;
    let rows = changes.dead.iter().map(|tried| {
        let mut row = event(group, &tried.record);
        row.extend([tried.attempts.into(), (&tried.error).into()]);
        row
    });
    many(tx, BURY, rows.collect()).await?;
    let rows = changes.offsets.iter();
    let rows = rows.map(|(stream, seq)| vec![(*seq).into(), group.into(), (*stream).into()]);
    many(tx, SAVE_OFFSET, rows.collect()).await
}

pub(super) async fn dead_letters(
    db: &Db,
    group: &str,
    limit: u32,
) -> Result<Vec<DeadLetter>, Failure> {
    let group = group.to_owned();
    db.read(move |tx| {
        let group = group.clone();
        Box::pin(async move {
            let rows = tx.query(DEAD, &[(&group).into(), limit.into()]).await?;
            let letters = rows.iter().map(|row| {
                let record = record(row, Cow::Owned(row.get(0)?), 1)?;
                let delivery = record.delivery(row.get(4)?);
                Ok(DeadLetter {
                    number: row.get(5)?,
                    group: group.clone(),
                    delivery: delivery.unwrap_or_else(|_| record.unreadable()),
                    error: row.get(6)?,
                })
            });
            letters.collect()
        })
    })
    .await
}

/// Takes a dead letter from the dead to the parked events of its group; answers both.
pub(super) async fn exhume(db: &Db, number: i64) -> Result<Option<(String, Record)>, Failure> {
    db.write(move |tx| {
        Box::pin(async move {
            let Some(row) = tx.query_opt(EXHUME, &[number.into()]).await? else {
                return Ok(None);
            };
            let group: String = row.get(4)?;
            let record = record(&row, Cow::Owned(row.get(0)?), 1)?;
            let mut params = event(&group, &record);
            params.extend([Value::I64(0), Value::I64(0), "".into()]);
            tx.execute(PARK, &params).await?;
            Ok(Some((group, record)))
        })
    })
    .await
}

/// How many events of `topics` a group has not handled.
pub(super) async fn lag(
    db: &Db,
    outboxes: &Outboxes,
    group: &str,
    topics: &[&'static str],
) -> Result<u64, Failure> {
    let own: Arc<[&'static str]> = topics.into();
    let followed = topics.iter().filter_map(|topic| outbox_of(topic));
    let followed: Arc<[&'static str]> = followed.collect();
    let (streams, group) = (followed.clone(), group.to_owned());
    let (own, offsets) = db
        .read(move |tx| {
            let (own, streams, group) = (own.clone(), streams.clone(), group.clone());
            Box::pin(async move {
                let mut lag = 0;
                for topic in own.iter().copied() {
                    let last = number(tx, LAST, &[topic.into()]).await?.unwrap_or(0);
                    let first = number(tx, FIRST, &[topic.into()]).await?.unwrap_or(last + 1);
                    let of_group = [(&group).into(), topic.into()];
                    let offset = number(tx, OFFSET, &of_group).await?.unwrap_or(0);
                    let parked = number(tx, PARKED_COUNT, &of_group).await?.unwrap_or(0);
                    lag += last - offset.max(first - 1) + parked;
                }
                let mut offsets = Vec::with_capacity(streams.len());
                for stream in streams.iter().copied() {
                    let of_group = [(&group).into(), stream.into()];
                    offsets.push(number(tx, OFFSET, &of_group).await?.unwrap_or(0));
                }
                Ok::<_, Failure>((lag, offsets))
            })
        })
        .await?;
    let mut lag = own;
    for (stream, offset) in followed.iter().zip(offsets) {
        if let Some(outbox) = outboxes.get(stream) {
            let (first, last) = follow::ends(&outbox).await?;
            lag += last - offset.max(first - 1);
        }
    }
    Ok(u64::try_from(lag).unwrap_or(0))
}

/// Removes at most `limit` events of `topic` that all groups have passed, but for the last
/// `kept`. Answers whether there are more.
pub(super) async fn trim(
    db: &Db,
    topic: &'static str,
    kept: i64,
    limit: i64,
) -> Result<bool, Failure> {
    let params = [topic.into()];
    let of_topic = params.clone();
    let bounds: (Option<i64>, Option<i64>) = db
        .read(move |tx| {
            let params = of_topic.clone();
            Box::pin(async move {
                let passed = number(tx, PASSED_BY_ALL, &params).await?;
                Ok::<_, Failure>((number(tx, FIRST, &params).await?, passed))
            })
        })
        .await?;
    let (Some(first), Some(passed)) = bounds else { return Ok(false) };
    let passed = passed - kept;
    if passed < first {
        return Ok(false);
    }
    let params = [topic.into(), passed.into(), Value::I64(first + limit)];
    db.write(move |tx| {
        let params = params.clone();
        Box::pin(async move { Ok::<_, Failure>(tx.execute(TRIM, &params).await?) })
    })
    .await?;
    Ok(passed >= first + limit)
}

/// As [`trim`], of an outbox, by rows.
pub(super) async fn trim_outbox(
    db: &Db,
    (stream, outbox): (&'static str, &Db),
    kept: i64,
    limit: i64,
) -> Result<bool, Failure> {
    let passed: Result<_, Failure> = db
        .read(move |tx| {
            Box::pin(async move { Ok(number(tx, PASSED_BY_ALL, &[stream.into()]).await?) })
        })
        .await;
    follow::trim(outbox, passed?.unwrap_or(0) - kept, limit).await
}

async fn number(tx: &mut Tx, sql: impl Into<Sql>, params: &[Value]) -> Result<Option<i64>, Error> {
    tx.query_opt(sql, params).await?.map_or(Ok(None), |row| row.get(0))
}

async fn many(tx: &mut Tx, sql: &'static str, rows: Vec<Vec<Value>>) -> Result<(), Error> {
    if !rows.is_empty() {
        tx.execute_many(sql, &rows).await?;
    }
    Ok(())
}

fn event(group: &str, record: &Record) -> Vec<Value> {
    let (key, event) = ((&*record.key).into(), record.event().into());
    vec![group.into(), (&*record.topic).into(), record.id.into(), key, event]
}

/// An event whose id, key and text stand in the columns from `first`.
fn record(row: &Row, topic: Cow<'static, str>, first: usize) -> Result<Record, Error> {
    let (key, event): (String, String) = (row.get(first + 1)?, row.get(first + 2)?);
    let told = Told::Event(event.into(), None);
    Ok(Record { id: row.get(first)?, topic, key: key.into(), told })
}
