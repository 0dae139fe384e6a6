//! The inbox: consumers remember the ids of events in the transaction of their effect.

use db::{Tx, Value};
use kernel::{MessageId, Timestamp};

/// Notes that `consumer` handles message `id` in this transaction; `false` if it has done so before, and there is nothing to do.
///
/// # Errors
/// Why the database refused.
pub async fn first_time(
    tx: &mut Tx,
    consumer: &'static str,
    id: MessageId,
) -> Result<bool, db::Error> {
    const NOTE: &str =
        "insert into boxoffice_inbox (id, consumer) values ($1, $2) on conflict do nothing";
    Ok(tx.execute(NOTE, &[id.into(), consumer.into()]).await? == 1)
}

/// Forgets up to `limit` messages that were made before `older_than`, the oldest first; answers how many.
///
/// # Errors
/// Why the database refused.
pub async fn prune(tx: &mut Tx, older_than: Timestamp, limit: u32) -> Result<u64, db::Error> {
    const PRUNE: &str = "delete from boxoffice_inbox where (id, consumer) in
        (select id, consumer from boxoffice_inbox where id < $1 order by id limit $2)";
    tx.execute(PRUNE, &[Value::Uuid(first_id(older_than)), limit.into()]).await
}

/// The least UUIDv7 of a moment: its milliseconds, and nothing else.
fn first_id(at: Timestamp) -> uuid::Uuid {
    let millis = u64::try_from(at.micros().div_euclid(1_000)).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
