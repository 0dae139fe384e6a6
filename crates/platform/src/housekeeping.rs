//! Housekeeping: forgets inbox entries and idempotency records that are too old to be asked for
//! again.

use std::{sync::Arc, time::Duration};

use db::Db;
use kernel::{Clock, Failure};
use tokio::sync::Notify;

use crate::{Tasks, idempotency, inbox};

/// How long handled events are remembered: longer than any event waits to be delivered again.
const KEEP_INBOX: Duration = Duration::from_secs(14 * 24 * 3_600);
/// How long answers are kept: clients retry for a day at most.
const KEEP_IDEMPOTENCY: Duration = Duration::from_secs(48 * 3_600);
/// How often to look.
const PERIOD: Duration = Duration::from_secs(3_600);
/// The most rows of one table to delete in one transaction, so that it never keeps others waiting
/// for long.
const BATCH: u32 = 1_000;

/// Starts to prune inbox and idempotency records of `db`, hourly and in small batches.
pub fn housekeeping(db: Db, clock: Arc<dyn Clock>, tasks: &Tasks) {
    tasks.every("housekeeping", PERIOD, Arc::new(Notify::new()), move || {
        let (db, now) = (db.clone(), clock.now());
        async move { prune(&db, now).await }
    });
}

/// Prunes one batch of each; `true` if there may be more.
async fn prune(db: &Db, now: kernel::Timestamp) -> Result<bool, Failure> {
    db.write(move |tx| {
        Box::pin(async move {
            let messages = inbox::prune(tx, now.minus(KEEP_INBOX), BATCH).await?;
            let records = idempotency::prune(tx, now.minus(KEEP_IDEMPOTENCY), BATCH).await?;
            Ok(messages.max(records) >= u64::from(BATCH))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use kernel::MessageId;
    use testkit::{ManualClock, SeededIds};

    use super::*;

    #[tokio::test]
    async fn what_is_too_old_goes_in_batches_until_nothing_is_left_of_it() {
        for test in testkit::databases(&[&crate::MIGRATIONS]).await {
            let (clock, ids) = (ManualClock::default(), Arc::new(SeededIds::new(1)));
            let now = clock.now();
            let filled = test.db.write(move |tx| {
                let ids = ids.clone();
                Box::pin(async move {
                    for _ in 0..=BATCH {
                        inbox::first_time(tx, "mail", MessageId::new(&*ids, now)).await?;
                    }
                    idempotency::check(tx, "scope", "key", b"", now).await
                })
            });
            filled.await.unwrap();
            clock.advance(KEEP_INBOX);
            assert_eq!(prune(&test.db, clock.now()).await, Ok(false));
            clock.advance(Duration::from_millis(1));
            assert_eq!(prune(&test.db, clock.now()).await, Ok(true));
            assert_eq!(prune(&test.db, clock.now()).await, Ok(false));
            let left = test.db.read(|tx| {
                const LEFT: &str = "select (select count(*) from boxoffice_inbox)
                    + (select count(*) from boxoffice_idempotency)";
                Box::pin(async move { tx.query_one(LEFT, &[]).await?.get::<i64>(0) })
            });
            assert_eq!(Result::<i64, db::Error>::unwrap(left.await), 0, "{}", test.engine());
        }
    }
}
