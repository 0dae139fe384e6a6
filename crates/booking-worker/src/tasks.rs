//! Due work: what is done when, and by which verb.

use std::{sync::Arc, time::Duration};

use platform::Tasks;

use crate::{app::App, ops};

pub(crate) fn start(app: &Arc<App>, tasks: &Tasks) {
    let (serving, leaving) = (app.clone(), app.clone());
    let period = Duration::from_millis(app.config.serve_every_ms);
    tasks.every("serve_lines", period, app.due.clone(), move || {
        let app = serving.clone();
        async move { ops::serve_lines(&app).await }
    });
    let stopping = tasks.stopping();
    tasks.spawn("give_up_lines", async move {
        stopping.cancelled().await;
        ops::give_up_lines(&leaving).await;
    });
}
