//! The sandbox's SQL: objects, due work and idempotency records.

use db::{Engine, Error, Row, Tx, Value};
use kernel::Timestamp;

use crate::{
    events,
    session::{CHARGE, REFUND},
};

/// An object to keep, new or changed.
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    /// What lists are filtered by; none: the object is not new.
    pub(crate) lookup: Option<String>,
    pub(crate) now: Now,
}

/// What an object is, or an answer was.
pub(crate) enum Now {
    /// This, as JSON.
    Own(String),
    /// What the event with this id says of it.
    Told(String),
}

impl Now {
    /// As columns: a document, and an event's id.
    fn columns(self) -> [Value; 2] {
        match self {
            Self::Own(doc) => [Value::Text(doc), Value::Null],
            Self::Told(event) => [Value::Null, Value::Text(event)],
        }
    }
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

/// An answer to remember.
pub(crate) struct Answered {
    pub(crate) fingerprint: String,
    pub(crate) status: i64,
    pub(crate) body: Now,
}

/// Which part of a list is wanted: newest first, after the object `after` (empty: from the start).
pub(crate) struct Slice<'a> {
    pub(crate) kind: &'static str,
    pub(crate) lookup: &'a str,
    pub(crate) after: &'a str,
    pub(crate) limit: i64,
}

/// Keeps objects.
pub(crate) async fn keep(tx: &mut Tx, objects: Vec<Kept>) -> Result<(), Error> {
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for Kept { id, kind, lookup, now } in objects {
        let [doc, event] = now.columns();
        match lookup {
            Some(lookup) => {
                let (kind, lookup) = (Value::Text(kind.into()), Value::Text(lookup));
                new.push(vec![Value::Text(id), kind, lookup, doc, event]);
            }
            None => changed.push(vec![Value::Text(id), doc, event]),
        }
    }
    if !new.is_empty() {
        let sql =
            "insert into stripe_objects (id, kind, lookup, doc, event) values ($1, $2, $3, $4, $5)";
        tx.execute_many(sql, &new).await?;
    }
    if !changed.is_empty() {
        let sql = "update stripe_objects set doc = $2, event = $3 where id = $1";
        tx.execute_many(sql, &changed).await?;
    }
    Ok(())
}

/// The object as JSON, locked until the transaction ends.
pub(crate) async fn object_for_update(
    tx: &mut Tx,
    kind: &str,
    id: &str,
) -> Result<Option<String>, Error> {
    if tx.engine() == Engine::Postgres {
        // By a statement of its own: one that waited for the lock would join what it saw before.
        let lock = "select seq from stripe_objects where id = $1 for update";
        tx.query_opt(lock, &[Value::Text(id.into())]).await?;
    }
    object(tx, kind, id).await
}

/// The object as JSON.
pub(crate) async fn object(tx: &mut Tx, kind: &str, id: &str) -> Result<Option<String>, Error> {
    let sql = "select cast(coalesce(o.doc, e.subject) as text) from stripe_objects o
        left join stripe_events e on e.id = o.event where o.id = $1 and o.kind = $2";
    let row = tx.query_opt(sql, &[Value::Text(id.into()), Value::Text(kind.into())]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Objects of a kind as JSON, newest first.
pub(crate) async fn list(tx: &mut Tx, slice: &Slice<'_>) -> Result<Vec<String>, Error> {
    const LATEST: &str = "select cast(coalesce(o.doc, e.subject) as text) from stripe_objects o
        left join stripe_events e on e.id = o.event
        where o.kind = $1 and ($2 = '' or o.lookup = $2)
        and ($3 = '' or o.seq < (select a.seq from stripe_objects a where a.id = $3))
        order by o.seq desc limit $4";
    const OF_INTENT: &str = "select cast(coalesce(o.doc, e.subject) as text) from stripe_objects o
        left join stripe_events e on e.id = o.event
        where o.kind in ('charge', 'refund') and o.kind = $1 and o.lookup = $2
        and ($3 = '' or o.seq < (select a.seq from stripe_objects a where a.id = $3))
        order by o.seq desc limit $4";
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
    let sql = "select d.seq, d.kind, d.target, d.attempts,
            e.id, e.kind, e.created, e.key, cast(e.subject as text)
        from (select * from stripe_due where due_at <= $1 order by due_at, seq limit $2) d
        left join stripe_events e on e.id = d.target
        order by d.due_at, d.seq";
    let read = |row: &Row| {
        Ok(Due {
            seq: row.get(0)?,
            kind: row.get(1)?,
            target: row.get(2)?,
            attempts: row.get(3)?,
            event: match row.get::<Option<String>>(4)? {
                Some(_) => Some(events::wire(row, 4)?),
                None => None,
            },
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
    let sql = "select i.fingerprint, i.status, coalesce(cast(e.subject as text), i.body)
        from stripe_idempotency i left join stripe_events e on e.id = i.event
        where i.key = $1 and i.created_at > $2";
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
    answer: Answered,
    now: Timestamp,
) -> Result<(), Error> {
    let sql = "insert into stripe_idempotency (key, fingerprint, status, body, event, created_at)
        values ($1, $2, $3, coalesce($4, ''), $5, $6)
        on conflict (key) do update set fingerprint = excluded.fingerprint,
            status = excluded.status, body = excluded.body, event = excluded.event,
            created_at = excluded.created_at";
    let [body, event] = answer.body.columns();
    let params = [
        Value::Text(key.into()),
        Value::Text(answer.fingerprint),
        Value::I64(answer.status),
        body,
        event,
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
