//! Idempotency records: one effect per key, and the same answer to a retry, in the transaction of the change.

use aws_lc_rs::digest::{SHA256, digest};
use db::Tx;
use kernel::{Failure, Timestamp};

/// What a key says about a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Not seen before; it is noted in this transaction.
    New,
    /// Seen before, with this answer.
    Replay(serde_json::Value),
    /// Seen before and committed, without an answer so far: a verb of several transactions was cut short, or is under way
    /// elsewhere. It goes on from what it finds, never from the start.
    Unanswered,
}

/// The longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// Notes the request (`scope`: who and which verb; `fingerprint`: the request in a canonical form), or finds its answer. Two
/// transactions with one key at once: the second waits for the first, or is retried.
///
/// # Errors
/// `IDEMPOTENCY_KEY_REUSED` if the key came with another fingerprint before; `INVALID_ARGUMENT` if it is empty, over
/// [`MAX_KEY_BYTES`] or not printable ASCII.
pub async fn check(
    tx: &mut Tx,
    scope: &str,
    key: &str,
    fingerprint: &[u8],
    now: Timestamp,
) -> Result<Outcome, Failure> {
    const NOTE: &str = "insert into boxoffice_idempotency (scope, key, fingerprint, at)
        values ($1, $2, $3, $4) on conflict do nothing";
    const FIND: &str =
        "select fingerprint, answer from boxoffice_idempotency where scope = $1 and key = $2";
    check_key(key)?;
    let hash = digest(&SHA256, fingerprint);
    let row = [scope.into(), key.into(), hash.as_ref().into(), now.into()];
    if tx.execute(NOTE, &row).await? == 1 {
        return Ok(Outcome::New);
    }
    let Some(found) = tx.query_opt(FIND, &[scope.into(), key.into()]).await? else {
        // Pruned between the two statements: it was far too old to be a retry.
        return Err(Failure::unavailable("idempotency record was pruned just now"));
    };
    if found.get::<Vec<u8>>(0)? != hash.as_ref() {
        return Err(reused());
    }
    let answer: Option<serde_json::Value> = found.get(1)?;
    Ok(answer.map_or(Outcome::Unanswered, Outcome::Replay))
}

/// Stores the answer for retries, in the same transaction or a later one.
///
/// # Errors
/// Why the database refused.
pub async fn answer(
    tx: &mut Tx,
    scope: &str,
    key: &str,
    answer: &serde_json::Value,
) -> Result<(), db::Error> {
    const ANSWER: &str =
        "update boxoffice_idempotency set answer = $3 where scope = $1 and key = $2";
    match tx.execute(ANSWER, &[scope.into(), key.into(), answer.clone().into()]).await? {
        1 => Ok(()),
        _ => Err(db::Error::Statement("there is no idempotency record to answer".to_owned())),
    }
}

/// Forgets up to `limit` records that were made before `older_than`, the oldest first; answers how many.
///
/// # Errors
/// Why the database refused.
pub async fn prune(tx: &mut Tx, older_than: Timestamp, limit: u32) -> Result<u64, db::Error> {
    const PRUNE: &str = "delete from boxoffice_idempotency where (scope, key) in
        (select scope, key from boxoffice_idempotency where at < $1 order by at limit $2)";
    tx.execute(PRUNE, &[older_than.into(), limit.into()]).await
}

fn check_key(key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let detail = format!("must be 1 to {MAX_KEY_BYTES} bytes long");
        return Err(Failure::invalid("idempotency_key", detail));
    }
    if !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(Failure::invalid("idempotency_key", "must be printable ASCII"));
    }
    Ok(())
}

fn reused() -> Failure {
    let mut failure =
        Failure::invalid("idempotency_key", "came with another request before; use a new one");
    failure.reason = "IDEMPOTENCY_KEY_REUSED".into();
    failure
}
