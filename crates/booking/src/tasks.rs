//! Due work: sagas to go on with, refusals to forget.

use std::{sync::Arc, time::Duration};

use kernel::Failure;
use platform::Tasks;
use tokio::sync::Notify;

use crate::{app::App, ops};

/// How often old refusals are looked for.
const FORGET_PERIOD: Duration = Duration::from_secs(3_600);

/// Goes on with due bookings, for as long as the service runs.
pub(crate) fn resume_sagas(app: Arc<App>, tasks: &Tasks) {
    let period = Duration::from_millis(app.config.resume_period_ms);
    tasks.every("resume_sagas", period, Arc::new(Notify::new()), move || {
        let app = app.clone();
        async move { ops::resume_sagas(&app).await.map_err(Failure::from) }
    });
}

/// Forgets old refusals, hourly and in small batches.
pub(crate) fn forget_refusals(app: Arc<App>, tasks: &Tasks) {
    tasks.every("forget_refusals", FORGET_PERIOD, Arc::new(Notify::new()), move || {
        let app = app.clone();
        async move { ops::forget_refusals(&app).await.map_err(Failure::from) }
    });
}
