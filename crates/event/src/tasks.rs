//! Due work and what is listened to: period, limit, verb.

use std::{sync::Arc, time::Duration};

use platform::{
    Metrics, Tasks,
    bus::{Bus, Handler, TICKET_EVENTS, Urgency},
};

use crate::{NAME, app::App, consumers, ops};

/// Starts all of it.
pub(crate) fn start(app: &Arc<App>, bus: &Bus, period: Duration, metrics: &Metrics, tasks: &Tasks) {
    app.outbox.relay(app.db.clone(), bus.clone(), metrics, tasks);
    app.cache.clone().follow(tasks);
    let due = Arc::clone(app);
    tasks.every("advance_events", period, Arc::clone(&app.due), move || {
        let app = Arc::clone(&due);
        async move { ops::advance_events(&app).await }
    });
    let listening = Arc::clone(app);
    let handler: Handler = Arc::new(move |delivery| {
        let app = Arc::clone(&listening);
        Box::pin(async move { consumers::seats_changed(&app, &delivery).await })
    });
    bus.consume((NAME, Urgency::Relaxed), &[TICKET_EVENTS], handler, metrics, tasks);
}
