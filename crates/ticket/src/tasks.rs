//! Due work: holds that have lapsed.

use std::{sync::Arc, time::Duration};

use db::Db;
use platform::{Probe, Tasks};
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

/// Whether the database answers.
pub(crate) fn probe(db: Db) -> Probe {
    Arc::new(move || {
        let db = db.clone();
        Box::pin(async move {
            let asked = db.read(|tx| Box::pin(crate::store::answers(tx)));
            asked.await.map_err(|error: db::Error| error.to_string())
        })
    })
}
