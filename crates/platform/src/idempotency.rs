//! Idempotency records: one effect per key, and the same answer to a retry, in the transaction of
//! the change.

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
    /// Seen before and committed, without an answer so far: a verb of several transactions was cut
    /// short, or is under way elsewhere. It goes on from what it finds, never from the start.
    Unanswered,
}

/// The longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// Notes the request (`scope`: who and which verb; `fingerprint`: the request in a canonical form),
/// or finds its answer. Two transactions with one key at once: the second waits for the first, or
/// is retried.
///
/// # Errors
/// `IDEMPOTENCY_KEY_REUSED` if the key came with another fingerprint before; `INVALID_ARGUMENT` if
/// it is empty, over [`MAX_KEY_BYTES`] or not printable ASCII.
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

/// Forgets up to `limit` records that were made before `older_than`, the oldest first; answers how
/// many.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use db::{Db, Migration, Migrations};
    use serde_json::{Value, json};

    use super::*;
    use crate::MIGRATIONS;

    const EFFECT: &[Migration] =
        &[Migration { name: "0001_effect", sql: "create table effect (number bigint not null)" }];
    const EFFECTS: Migrations = Migrations { owner: "test", postgres: EFFECT, sqlite: EFFECT };
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// A verb of one transaction that answers how many effects it found, with its guard or, as a
    /// twin, without.
    async fn verb(db: &Db, (key, body): (&str, &str), guarded: bool) -> Result<Value, Failure> {
        let (key, body) = (key.to_owned(), body.to_owned());
        db.write(move |tx| {
            let (key, body) = (key.clone(), body.clone());
            Box::pin(async move {
                if guarded && let Outcome::Replay(answer) = check_in(tx, &key, &body).await? {
                    return Ok(answer);
                }
                let found: i64 = tx.query_one("select count(*) from effect", &[]).await?.get(0)?;
                tx.execute("insert into effect (number) values ($1)", &[found.into()]).await?;
                let told = json!({ "found": found });
                if guarded {
                    answer(tx, "ann/open", &key, &told).await?;
                }
                if body == "fails" { Err(Failure::not_found("event")) } else { Ok(told) }
            })
        })
        .await
    }

    async fn check_in(tx: &mut Tx, key: &str, body: &str) -> Result<Outcome, Failure> {
        check(tx, "ann/open", key, body.as_bytes(), NOW).await
    }

    async fn only_check(db: &Db, scope: &'static str, key: &str) -> Result<Outcome, Failure> {
        let key = key.to_owned();
        db.write(move |tx| {
            let key = key.clone();
            Box::pin(async move { check(tx, scope, &key, b"body", NOW).await })
        })
        .await
    }

    async fn effects(db: &Db) -> i64 {
        let read = db.read(|tx| {
            Box::pin(async move { tx.query_one("select count(*) from effect", &[]).await?.get(0) })
        });
        Result::<i64, db::Error>::unwrap(read.await)
    }

    #[tokio::test]
    async fn requests_with_one_key_have_one_effect_and_one_answer() {
        for test in testkit::databases(&[&MIGRATIONS, &EFFECTS]).await {
            let at_once = (0..16).map(|_| verb(&test.db, ("k1", "body"), true));
            let answers = futures_util::future::join_all(at_once).await;
            assert!(answers.iter().all(|answer| *answer == Ok(json!({ "found": 0 }))));
            assert_eq!(effects(&test.db).await, 1, "{}", test.engine());

            let reused = verb(&test.db, ("k1", "another body"), true).await.unwrap_err();
            assert_eq!(
                (reused.code, &*reused.reason),
                (kernel::Code::Invalid, "IDEMPOTENCY_KEY_REUSED")
            );
            assert_eq!(reused.fields.len(), 1, "a field error makes it a 422");
            assert_eq!(effects(&test.db).await, 1);

            verb(&test.db, ("k2", "fails"), true).await.unwrap_err();
            assert_eq!(effects(&test.db).await, 1, "what failed left nothing");
            assert_eq!(verb(&test.db, ("k2", "body"), true).await, Ok(json!({ "found": 1 })));

            for _ in 0..2 {
                verb(&test.db, ("k1", "body"), false).await.unwrap();
            }
            assert_eq!(effects(&test.db).await, 4, "without its guard it doubles");
        }
    }

    #[tokio::test]
    async fn a_verb_that_was_cut_short_is_seen_before_and_unanswered() {
        for test in testkit::databases(&[&MIGRATIONS]).await {
            assert_eq!(only_check(&test.db, "a", "k").await, Ok(Outcome::New));
            assert_eq!(only_check(&test.db, "a", "k").await, Ok(Outcome::Unanswered));
            assert_eq!(only_check(&test.db, "b", "k").await, Ok(Outcome::New), "per scope");
            let told = json!({ "id": 1, "none": null });
            let later = told.clone();
            let answered = test.db.write(move |tx| {
                let later = later.clone();
                Box::pin(async move { answer(tx, "a", "k", &later).await })
            });
            Result::<(), db::Error>::unwrap(answered.await);
            assert_eq!(only_check(&test.db, "a", "k").await, Ok(Outcome::Replay(told)));
            let nobody =
                test.db.write(|tx| Box::pin(async move { answer(tx, "a", "?", &json!(1)).await }));
            assert!(Result::<(), db::Error>::is_err(&nobody.await));

            for key in ["", "a\nb", "ü", &"x".repeat(MAX_KEY_BYTES + 1)] {
                let refused = only_check(&test.db, "a", key).await.unwrap_err();
                assert_eq!(refused.fields[0].field, "idempotency_key", "{key:?}");
            }
            assert_eq!(
                only_check(&test.db, "a", &"x".repeat(MAX_KEY_BYTES)).await,
                Ok(Outcome::New)
            );
        }
    }

    #[tokio::test]
    async fn only_old_records_are_forgotten() {
        for test in testkit::databases(&[&MIGRATIONS]).await {
            for key in ["a", "b", "c"] {
                only_check(&test.db, "s", key).await.unwrap();
            }
            let prune_at = async |at: Timestamp| {
                let pruned = test.db.write(move |tx| Box::pin(prune(tx, at, 2)));
                Result::<u64, db::Error>::unwrap(pruned.await)
            };
            assert_eq!(prune_at(NOW).await, 0);
            let later = NOW.plus(Duration::from_secs(1));
            assert_eq!((prune_at(later).await, prune_at(later).await), (2, 1), "{}", test.engine());
        }
    }
}
