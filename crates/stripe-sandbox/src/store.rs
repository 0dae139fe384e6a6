//! The sandbox's SQL: objects, due work and idempotency records.

use db::{Error, Row, Sql, Tx, Value};
use kernel::Timestamp;

use crate::session::{CHARGE, REFUND};

/// An object to keep.
pub(crate) struct NewObject {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) lookup: String,
    /// As JSON.
    pub(crate) doc: String,
}

/// A piece of due work.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) seq: i64,
    pub(crate) kind: String,
    pub(crate) target: String,
    pub(crate) attempts: i64,
    /// The event to deliver, as JSON.
    pub(crate) event: Option<String>,
}

/// What an idempotency key stands for.
pub(crate) struct Remembered {
    pub(crate) fingerprint: String,
    pub(crate) status: i64,
    pub(crate) body: String,
}

/// Which part of a list is wanted: newest first, after the object `after` (empty: from the start).
pub(crate) struct Slice<'a> {
    pub(crate) kind: &'static str,
    pub(crate) lookup: &'a str,
    pub(crate) after: &'a str,
    pub(crate) limit: i64,
}

pub(crate) async fn insert_objects(tx: &mut Tx, objects: Vec<NewObject>) -> Result<(), Error> {
    let rows: Vec<Vec<Value>> = objects
        .into_iter()
        .map(|object| {
            vec![
                Value::Text(object.id),
                Value::Text(object.kind.into()),
                Value::Text(object.lookup),
                Value::Text(object.doc),
            ]
        })
        .collect();
    let sql = "insert into stripe_objects (id, kind, lookup, doc) values ($1, $2, $3, $4)";
    tx.execute_many(sql, &rows).await?;
    Ok(())
}

/// The object as JSON, locked until the transaction ends.
pub(crate) async fn object_for_update(
    tx: &mut Tx,
    kind: &str,
    id: &str,
) -> Result<Option<String>, Error> {
    let sql = Sql::split(
        "select cast(doc as text) from stripe_objects where id = $1 and kind = $2 for update",
        "select doc from stripe_objects where id = $1 and kind = $2",
    );
    let row = tx.query_opt(sql, &[Value::Text(id.into()), Value::Text(kind.into())]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// The object as JSON.
pub(crate) async fn object(tx: &mut Tx, kind: &str, id: &str) -> Result<Option<String>, Error> {
    let sql = "select cast(doc as text) from stripe_objects where id = $1 and kind = $2";
    let row = tx.query_opt(sql, &[Value::Text(id.into()), Value::Text(kind.into())]).await?;
    row.map(|row| row.get(0)).transpose()
}

pub(crate) async fn update_object(tx: &mut Tx, id: &str, doc: String) -> Result<(), Error> {
    let sql = "update stripe_objects set doc = $2 where id = $1";
    tx.execute(sql, &[Value::Text(id.into()), Value::Text(doc)]).await?;
    Ok(())
}

/// Objects of a kind as JSON, newest first.
pub(crate) async fn list(tx: &mut Tx, slice: &Slice<'_>) -> Result<Vec<String>, Error> {
    const LATEST: &str =
        "select cast(doc as text) from stripe_objects where kind = $1 and ($2 = '' or lookup = $2)
        and ($3 = '' or seq < (select o.seq from stripe_objects o where o.id = $3))
        order by seq desc limit $4";
    const OF_INTENT: &str = "select cast(doc as text) from stripe_objects
        where kind in ('charge', 'refund') and kind = $1 and lookup = $2
        and ($3 = '' or seq < (select o.seq from stripe_objects o where o.id = $3))
        order by seq desc limit $4";
    let of_intent = [CHARGE, REFUND].contains(&slice.kind) && !slice.lookup.is_empty();
    let sql = if of_intent { OF_INTENT } else { LATEST };
    let params = [
        Value::Text(slice.kind.into()),
        Value::Text(slice.lookup.into()),
        Value::Text(slice.after.into()),
        Value::I64(slice.limit),
    ];
    tx.query(sql, &params).await?.iter().map(|row| row.get(0)).collect()
}

/// Adds work for each target in turn, due at `at`.
pub(crate) async fn insert_due(
    tx: &mut Tx,
    kind: &str,
    targets: Vec<String>,
    at: Timestamp,
) -> Result<(), Error> {
    let row = |target| {
        vec![Value::Time(at), Value::Text(kind.into()), Value::Text(target), Value::I64(0)]
    };
    let rows: Vec<Vec<Value>> = targets.into_iter().map(row).collect();
    let sql = "insert into stripe_due (due_at, kind, target, attempts) values ($1, $2, $3, $4)";
    tx.execute_many(sql, &rows).await?;
    Ok(())
}

/// What is due by `now`, the longest due first. Only one runner works on a database.
pub(crate) async fn due(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<Vec<Due>, Error> {
    let sql = "select d.seq, d.kind, d.target, d.attempts, cast(o.doc as text)
        from (select * from stripe_due where due_at <= $1 order by due_at, seq limit $2) d
        left join stripe_objects o on o.id = d.target and o.kind = 'event'
        order by d.due_at, d.seq";
    let read = |row: &Row| {
        Ok(Due {
            seq: row.get(0)?,
            kind: row.get(1)?,
            target: row.get(2)?,
            attempts: row.get(3)?,
            event: row.get(4)?,
        })
    };
    tx.query(sql, &[Value::Time(now), Value::I64(limit)]).await?.iter().map(read).collect()
}

/// When the next piece of work is due.
pub(crate) async fn next_due(tx: &mut Tx) -> Result<Option<Timestamp>, Error> {
    let sql = "select due_at from stripe_due order by due_at limit 1";
    tx.query_opt(sql, &[]).await?.map(|row| row.get(0)).transpose()
}

/// Strikes a piece of work out for whoever does it in this transaction; `false` if it was done.
pub(crate) async fn take_due(tx: &mut Tx, seq: i64) -> Result<bool, Error> {
    Ok(tx.execute("delete from stripe_due where seq = $1", &[Value::I64(seq)]).await? == 1)
}

pub(crate) async fn finish_due(tx: &mut Tx, seqs: &[i64]) -> Result<(), Error> {
    let rows: Vec<Vec<Value>> = seqs.iter().map(|seq| vec![Value::I64(*seq)]).collect();
    tx.execute_many("delete from stripe_due where seq = $1", &rows).await?;
    Ok(())
}

/// Puts work off: each by its number, with the moment of its next try.
pub(crate) async fn retry_due(tx: &mut Tx, later: &[(i64, Timestamp)]) -> Result<(), Error> {
    let rows: Vec<Vec<Value>> =
        later.iter().map(|(seq, at)| vec![Value::I64(*seq), Value::Time(*at)]).collect();
    let sql = "update stripe_due set due_at = $2, attempts = attempts + 1 where seq = $1";
    tx.execute_many(sql, &rows).await?;
    Ok(())
}

/// What `key` stands for, if it was first used after `since`.
pub(crate) async fn remembered(
    tx: &mut Tx,
    key: &str,
    since: Timestamp,
) -> Result<Option<Remembered>, Error> {
    let sql = "select fingerprint, status, body from stripe_idempotency
        where key = $1 and created_at > $2";
    let row = tx.query_opt(sql, &[Value::Text(key.into()), Value::Time(since)]).await?;
    let read = |row: Row| {
        Ok(Remembered { fingerprint: row.get(0)?, status: row.get(1)?, body: row.get(2)? })
    };
    row.map(read).transpose()
}

/// Lets `key` stand for an answer, in place of one that is too old to count.
pub(crate) async fn remember(
    tx: &mut Tx,
    key: &str,
    answer: Remembered,
    now: Timestamp,
) -> Result<(), Error> {
    let sql = "insert into stripe_idempotency (key, fingerprint, status, body, created_at)
        values ($1, $2, $3, $4, $5)
        on conflict (key) do update set fingerprint = excluded.fingerprint,
            status = excluded.status, body = excluded.body, created_at = excluded.created_at";
    let params = [
        Value::Text(key.into()),
        Value::Text(answer.fingerprint),
        Value::I64(answer.status),
        Value::Text(answer.body),
        Value::Time(now),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

/// Forgets up to `limit` keys first used before `before`; answers how many.
pub(crate) async fn forget(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64, Error> {
    let sql = "delete from stripe_idempotency where key in (
        select key from stripe_idempotency where created_at < $1 order by created_at limit $2)";
    tx.execute(sql, &[Value::Time(before), Value::I64(limit)]).await
}
