//! Due work: holds that have lapsed.

use std::{sync::Arc, time::Duration};

use platform::Tasks;
use tokio::sync::Notify;

use crate::{App, ops};

/// Expires lapsed holds, batch by batch, as long as there are any.
pub(crate) fn expire_holds(app: Arc<App>, tasks: &Tasks) {
    let period = Duration::from_millis(app.config.expiry_period_ms);
    tasks.every("expire_holds", period, Arc::new(Notify::new()), move || {
        let app = app.clone();
        async move {
            let expired = ops::expire_holds(&app).await?;
            Ok(expired >= app.config.expiry_batch as usize)
        }
    });
}
