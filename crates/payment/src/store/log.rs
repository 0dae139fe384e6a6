//! SQL of what was said between us and the provider: its events, each once, and our calls; and how
//! they are forgotten, the oldest first.

use std::collections::HashSet;

use db::{Error, Sql, Tx, Value};
use kernel::{PaymentId, Timestamp};
use uuid::Uuid;

use crate::stripe::{EventHead, Exchange};

/// One of our calls.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) payment: PaymentId,
    pub(crate) exchange: Exchange,
    pub(crate) correlation_id: String,
    pub(crate) at: Timestamp,
}

/// An event of the provider, to be noted.
pub(crate) struct Noted<'a> {
    pub(crate) event: &'a EventHead,
    /// Whom it is about.
    pub(crate) payment: Option<PaymentId>,
    /// As JSON, without secrets.
    pub(crate) body: &'a str,
    pub(crate) now: Timestamp,
}

/// Notes events of the provider, and returns which were not noted before.
pub(crate) async fn insert_events<'a>(
    tx: &mut Tx,
    mut events: Vec<Noted<'a>>,
) -> Result<HashSet<&'a str>, Error> {
    // All transactions take them in the same order; each counts once.
    events.sort_by(|one, other| one.event.id.cmp(&other.event.id));
    events.dedup_by(|one, other| one.event.id == other.event.id);
    let row = |noted: &Noted<'_>| {
        vec![
            (&noted.event.id).into(),
            (&noted.event.kind).into(),
            noted.payment.map_or(Uuid::nil(), PaymentId::uuid).into(),
            noted.body.into(),
            noted.event.created.into(),
            noted.now.into(),
        ]
    };
    let rows = tx.effects(INSERT_EVENTS, 1, events.iter().map(row).collect()).await?;
    let new: HashSet<String> = rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
    let ids = events.iter().map(|noted| noted.event.id.as_str());
    Ok(ids.filter(|id| new.contains(*id)).collect())
}

/// The nil uuid stands for no payment.
const INSERT_EVENTS: Sql = Sql::split(
    "insert into provider_events (event_id, kind, payment_id, body, created_s, received_at)
     select event_id, kind, nullif(payment_id, '00000000-0000-0000-0000-000000000000'),
       body::json, created_s, received_at
     from (select * from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::bigint[],
             $6::timestamptz[]) w (event_id, kind, payment_id, body, created_s, received_at)
             limit $7) w
     on conflict (event_id) do nothing
     returning event_id",
    "insert into provider_events (event_id, kind, payment_id, body, created_s, received_at)
     values ($1, $2, nullif($3, zeroblob(16)), $4, $5, $6)
     on conflict (event_id) do nothing",
);

/// Notes calls to the provider and its answers.
pub(crate) async fn insert_entries(tx: &mut Tx, entries: &[&Entry]) -> Result<(), Error> {
    let row = |entry: &&Entry| {
        let exchange = &entry.exchange;
        vec![
            entry.id.into(),
            entry.payment.into(),
            exchange.operation.into(),
            (&exchange.request).into(),
            (&exchange.response).into(),
            exchange.outcome.into(),
            i64::try_from(exchange.duration.as_micros()).unwrap_or(i64::MAX).into(),
            (&entry.correlation_id).into(),
            entry.at.into(),
        ]
    };
    tx.execute_all(INSERT_ENTRIES, entries.iter().map(row).collect()).await?;
    Ok(())
}

const INSERT_ENTRIES: Sql = Sql::split(
    "insert into transaction_log (entry_id, payment_id, operation, request, response, outcome,
       duration_us, correlation_id, at)
     select entry_id, payment_id, operation, request::json, response::json, outcome,
       duration_us, correlation_id, at
     from (select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],
             $6::text[], $7::bigint[], $8::text[], $9::timestamptz[])
             w (entry_id, payment_id, operation, request, response, outcome, duration_us,
                correlation_id, at) limit $10) w",
    "insert into transaction_log (entry_id, payment_id, operation, request, response, outcome,
       duration_us, correlation_id, at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);

/// Forgets up to `limit` calls that were made before `older_than`; answers how many.
pub(crate) async fn prune_entries(
    tx: &mut Tx,
    older_than: Timestamp,
    limit: u32,
) -> Result<u64, Error> {
    let sql = "delete from transaction_log where entry_id in (
        select entry_id from transaction_log where entry_id < $1 order by entry_id limit $2)";
    tx.execute(sql, &[Value::Uuid(first_id(older_than)), limit.into()]).await
}

/// Forgets up to `limit` events that came before `older_than`; answers how many.
pub(crate) async fn prune_events(
    tx: &mut Tx,
    older_than: Timestamp,
    limit: u32,
) -> Result<u64, Error> {
    let sql = "delete from provider_events where event_id in (
        select event_id from provider_events where received_at < $1
        order by received_at limit $2)";
    tx.execute(sql, &[older_than.into(), limit.into()]).await
}

/// The least UUIDv7 of a moment: its milliseconds, and nothing else.
fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.micros().div_euclid(1_000)).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
