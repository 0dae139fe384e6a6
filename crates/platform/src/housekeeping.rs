//! Housekeeping: forgets inbox entries and idempotency records that are too old to be asked for again.

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
/// The most rows of one table to delete in one transaction, so that it never keeps others waiting for long.
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
