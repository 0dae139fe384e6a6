//! The inbox: consumers remember the ids of events in the transaction of their effect.

use std::collections::HashSet;

use db::{Sql, Tx, Value};
use kernel::{MessageId, Timestamp};

/// Notes that `consumer` handles message `id` in this transaction; `false` if it has done so
/// before, and there is nothing to do.
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

/// As [`first_time`] for many messages at once: of each, at its place, whether there is
/// anything to do. Of an id that comes twice in `ids`, the first counts.
///
/// # Errors
/// Why the database refused.
pub async fn first_times(
    tx: &mut Tx,
    consumer: &'static str,
    ids: &[MessageId],
) -> Result<Vec<bool>, db::Error> {
    // In the order of ids, so that two transactions never wait for each other's rows crosswise.
    const NOTE: Sql = Sql::split(
        "insert into boxoffice_inbox (id, consumer)
         select id, consumer
         from (select * from unnest($1::uuid[], $2::text[]) w (id, consumer) limit $3) w
         order by id
         on conflict do nothing returning id",
        "insert into boxoffice_inbox (id, consumer) values ($1, $2) on conflict do nothing",
    );
    let rows = ids.iter().map(|id| vec![(*id).into(), consumer.into()]).collect();
    let rows = tx.effects(NOTE, 1, rows).await?;
    let mut noted = rows.iter().map(|row| row.get(0)).collect::<Result<HashSet<MessageId>, _>>()?;
    Ok(ids.iter().map(|id| noted.remove(id)).collect())
}

/// Forgets up to `limit` messages that were made before `older_than`, the oldest first; answers how
/// many.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use db::{Db, Error, Migration, Migrations};
    use testkit::SeededIds;

    use super::*;
    use crate::MIGRATIONS;

    const EFFECT: &[Migration] =
        &[Migration { name: "0001_effect", sql: "create table effect (name text not null)" }];
    const EFFECTS: Migrations = Migrations { owner: "test", postgres: EFFECT, sqlite: EFFECT };

    /// A consumer's effect, with its guard or, as a twin, without.
    async fn consume(db: &Db, consumer: &'static str, id: MessageId, guarded: bool) {
        let done = db.write(move |tx| {
            Box::pin(async move {
                if first_time(tx, consumer, id).await? || !guarded {
                    tx.execute("insert into effect (name) values ($1)", &[consumer.into()]).await?;
                }
                Ok(())
            })
        });
        Result::<(), Error>::unwrap(done.await);
    }

    async fn count(db: &Db, sql: &'static str) -> i64 {
        let read = db.read(move |tx| Box::pin(async move { tx.query_one(sql, &[]).await?.get(0) }));
        Result::<i64, Error>::unwrap(read.await)
    }

    #[tokio::test]
    async fn an_event_that_comes_again_has_its_effect_once_per_consumer() {
        for test in testkit::databases(&[&MIGRATIONS, &EFFECTS]).await {
            let id = MessageId::new(&SeededIds::new(1), Timestamp::from_seconds(1_800_000_000));
            let effects = "select count(*) from effect";
            let at_once = (0..8).map(|_| consume(&test.db, "mail", id, true));
            futures_util::future::join_all(at_once).await;
            assert_eq!(count(&test.db, effects).await, 1, "{}", test.engine());
            consume(&test.db, "seats", id, true).await;
            assert_eq!(count(&test.db, effects).await, 2, "another consumer has its own");
            for _ in 0..2 {
                consume(&test.db, "mail", id, false).await;
            }
            assert_eq!(count(&test.db, effects).await, 4, "without its guard it doubles");
        }
    }

    /// The effects of a batch, with its guard or, as a twin, without.
    async fn consume_all(db: &Db, ids: &[MessageId], guarded: bool) -> Vec<bool> {
        let ids = ids.to_vec();
        let done = db.write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                let news = first_times(tx, "mail", &ids).await?;
                for _ in news.iter().filter(|is_new| **is_new || !guarded) {
                    tx.execute("insert into effect (name) values ('mail')", &[]).await?;
                }
                Ok(news)
            })
        });
        Result::<_, Error>::unwrap(done.await)
    }

    #[tokio::test]
    async fn a_batch_that_comes_again_has_each_of_its_effects_once() {
        for test in testkit::databases(&[&MIGRATIONS, &EFFECTS]).await {
            let (seeded, at) = (SeededIds::new(3), Timestamp::from_seconds(1_800_000_000));
            let ids: Vec<_> = (0..40).map(|_| MessageId::new(&seeded, at)).collect();
            let effects = "select count(*) from effect";
            assert_eq!(consume_all(&test.db, &[], true).await, Vec::<bool>::new());
            let mixed = [ids[5], ids[3], ids[5], ids[4]];
            let news = consume_all(&test.db, &mixed, true).await;
            assert_eq!(news, [true, true, false, true], "{}", test.engine());
            consume(&test.db, "mail", ids[6], true).await;
            consume(&test.db, "seats", ids[7], true).await;
            // Batches that overlap, in opposite orders, at once.
            let backwards: Vec<_> = ids.iter().rev().copied().collect();
            let batches = [&ids[..30], &backwards[..30], &ids[..], &backwards[..]];
            let at_once = batches.map(|batch| consume_all(&test.db, batch, true));
            let news = futures_util::future::join_all(at_once).await;
            let news = news.into_iter().flatten().filter(|is_new| *is_new).count();
            assert_eq!(news, 36, "four were known to this consumer");
            assert_eq!(count(&test.db, effects).await, 41, "{}", test.engine());
            assert_eq!(consume_all(&test.db, &ids, true).await, [false; 40]);
            consume_all(&test.db, &ids, false).await;
            assert_eq!(count(&test.db, effects).await, 81, "without its guard it doubles");
        }
    }

    #[tokio::test]
    async fn only_old_messages_are_forgotten_the_oldest_first() {
        for test in testkit::databases(&[&MIGRATIONS, &EFFECTS]).await {
            let (ids, start) = (SeededIds::new(2), Timestamp::from_seconds(1_800_000_000));
            for minute in 0..10 {
                let at = start.plus(Duration::from_secs(60 * minute));
                consume(&test.db, "mail", MessageId::new(&ids, at), true).await;
            }
            let limit = start.plus(Duration::from_secs(60 * 5));
            for (expected, left) in [(3, 7), (2, 5), (0, 5)] {
                let pruned = test.db.write(move |tx| Box::pin(prune(tx, limit, 3)));
                assert_eq!(Result::<u64, Error>::unwrap(pruned.await), expected);
                let entries = count(&test.db, "select count(*) from boxoffice_inbox").await;
                assert_eq!(entries, left, "{}", test.engine());
            }
        }
    }
}
