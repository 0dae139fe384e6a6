//! Forgets what was refused without a booking, long after anybody would ask again under its key.

use std::time::Duration;

use crate::{Error, app::App, store::keys};

/// How long a key stands for a refusal: clients retry for a day at most.
const KEEP: Duration = Duration::from_secs(48 * 3_600);
/// The most that are forgotten in one transaction, so that it never keeps others waiting for long.
const BATCH: u32 = 1_000;

/// Forgets a batch of old refusals. Answers whether there may be more.
///
/// # Errors
/// If the database fails.
pub(crate) async fn forget_refusals(app: &App) -> Result<bool, Error> {
    let before = app.clock.now().minus(KEEP);
    let forgotten = app.db.write(move |tx| {
        Box::pin(async move { Ok::<_, Error>(keys::forget(tx, before, BATCH).await?) })
    });
    Ok(forgotten.await? >= u64::from(BATCH))
}
