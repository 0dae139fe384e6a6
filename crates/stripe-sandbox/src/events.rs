//! Events: what happened to an object, and what it was at that moment. What an object is now, and
//! what an idempotency key stands for, is mostly what an event says, and kept there alone.

use db::{Error, Row, Tx, Value};
use serde_json::json;

use crate::{objects::API_VERSION, store::Slice};

/// An event to keep.
pub(crate) struct NewEvent {
    pub(crate) id: String,
    /// What happened, by Stripe's name.
    pub(crate) kind: &'static str,
    /// The object as it was, as JSON.
    pub(crate) subject: String,
}

/// Keeps `events` of a call made at `created`, in seconds, under the idempotency key `key`.
pub(crate) async fn insert(
    tx: &mut Tx,
    events: Vec<NewEvent>,
    created: i64,
    key: Option<&str>,
) -> Result<(), Error> {
    let row = |event: NewEvent| {
        vec![
            Value::Text(event.id),
            Value::Text(event.kind.into()),
            Value::I64(created),
            key.map_or(Value::Null, |key| Value::Text(key.into())),
            Value::Text(event.subject),
        ]
    };
    let rows: Vec<Vec<Value>> = events.into_iter().map(row).collect();
    let sql = "insert into stripe_events (id, kind, created, key, subject)
        values ($1, $2, $3, $4, $5)";
    tx.execute_many(sql, &rows).await?;
    Ok(())
}

/// The event as it travels.
pub(crate) async fn one(tx: &mut Tx, id: &str) -> Result<Option<String>, Error> {
    const BY_ID: &str = "select id, kind, created, key, cast(subject as text) from stripe_events
        where id = $1";
    tx.query_opt(BY_ID, &[Value::Text(id.into())]).await?.map(|row| wire(&row, 0)).transpose()
}

/// Events of the kind that `slice` looks for, or all, as they travel, newest first.
pub(crate) async fn list(tx: &mut Tx, slice: &Slice<'_>) -> Result<Vec<String>, Error> {
    const LATEST: &str = "select id, kind, created, key, cast(subject as text) from stripe_events
        where ($1 = '' or kind = $1)
        and ($2 = '' or seq < (select e.seq from stripe_events e where e.id = $2))
        order by seq desc limit $3";
    let params = [
        Value::Text(slice.lookup.into()),
        Value::Text(slice.after.into()),
        Value::I64(slice.limit),
    ];
    tx.query(LATEST, &params).await?.iter().map(|row| wire(row, 0)).collect()
}

/// The event in the five columns of `row` from `first` on, as it travels: its id, its kind, when it
/// was created, under which key, and its object.
pub(crate) fn wire(row: &Row, first: usize) -> Result<String, Error> {
    let (id, kind): (String, String) = (row.get(first)?, row.get(first + 1)?);
    let (created, key): (i64, Option<String>) = (row.get(first + 2)?, row.get(first + 3)?);
    let (subject, key): (String, _) = (row.get(first + 4)?, json!(key));
    Ok(format!(
        "{{\"id\":\"{id}\",\"object\":\"event\",\"api_version\":\"{API_VERSION}\",\
         \"created\":{created},\"data\":{{\"object\":{subject}}},\"livemode\":false,\
         \"pending_webhooks\":1,\"request\":{{\"id\":null,\"idempotency_key\":{key}}},\
         \"type\":\"{kind}\"}}"
    ))
}
