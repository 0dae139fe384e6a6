//! `prune_logs`: forgets what was said between us and the provider once it is too old to matter.
//! Payments, refunds and their history stay.

use std::sync::Arc;

use kernel::Failure;

use crate::{app::App, store};

/// The most rows of one table to delete in one transaction, so that it never keeps payments waiting
/// for long.
pub(crate) const BATCH: u32 = 1_000;

/// Forgets a batch of each log; whether there may be more.
pub(crate) async fn prune_logs(app: Arc<App>) -> Result<bool, Failure> {
    let older_than = app.now().minus(app.keep_log);
    let pruned = app.db.write(move |tx| {
        Box::pin(async move {
            let entries = store::prune_entries(tx, older_than, BATCH).await?;
            let events = store::prune_events(tx, older_than, BATCH).await?;
            Ok(entries.max(events) >= u64::from(BATCH))
        })
    });
    let pruned: Result<bool, db::Error> = pruned.await;
    Ok(pruned?)
}
