//! Removes sessions that are long over.

use std::time::Duration;

use crate::{app::App, error::Error, store};

/// How long a session that is over is kept, for whoever asks what happened.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
const AT_ONCE: u32 = 500;

/// Removes some; answers whether there may be more.
pub(crate) async fn remove_sessions(app: &App) -> Result<bool, Error> {
    let before = app.now().minus(KEPT);
    let removed = app
        .db
        .write(move |tx| {
            Box::pin(
                async move { Ok::<_, Error>(store::remove_sessions(tx, before, AT_ONCE).await?) },
            )
        })
        .await?;
    Ok(removed == u64::from(AT_ONCE))
}
