//! SQL of what was said between us and the provider: its events, each once, and our calls; and how
//! they are forgotten, the oldest first.

use db::{Error, Tx, Value};
use kernel::{PaymentId, Timestamp};
use uuid::Uuid;

use crate::stripe::{Event, Exchange};

/// One of our calls.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) payment: PaymentId,
    pub(crate) exchange: Exchange,
    pub(crate) correlation_id: String,
    pub(crate) at: Timestamp,
}

/// Notes an event of the provider; `false` if it was noted before.
pub(crate) async fn insert_event(
    tx: &mut Tx,
    event: &Event,
    payment: Option<PaymentId>,
    body: &serde_json::Value,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "insert into provider_events
        (event_id, kind, payment_id, body, created_s, received_at)
        values ($1, $2, $3, $4, $5, $6) on conflict (event_id) do nothing";
    let params = [
        (&event.id).into(),
        (&event.kind).into(),
        payment.map(PaymentId::uuid).into(),
        body.clone().into(),
        event.created.into(),
        now.into(),
    ];
    Ok(tx.execute(sql, &params).await? == 1)
}

/// Notes a call to the provider and its answer.
pub(crate) async fn insert_entry(tx: &mut Tx, entry: &Entry) -> Result<(), Error> {
    let sql = "insert into transaction_log (entry_id, payment_id, operation, request, response,
        outcome, duration_us, correlation_id, at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let exchange = &entry.exchange;
    let params = [
        entry.id.into(),
        entry.payment.into(),
        exchange.operation.into(),
        exchange.request.clone().into(),
        exchange.response.clone().into(),
        exchange.outcome.into(),
        i64::try_from(exchange.duration.as_micros()).unwrap_or(i64::MAX).into(),
        (&entry.correlation_id).into(),
        entry.at.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

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
