//! Due work: what is done when, and by which verb.

use std::{sync::Arc, time::Duration};

use platform::Tasks;
use tokio::sync::Notify;

use crate::{app::App, ops};

/// How often to look for due mails without being told.
const LOOK: Duration = Duration::from_secs(1);
const REMOVE: Duration = Duration::from_secs(3_600);

pub(crate) fn start(app: &Arc<App>, tasks: &Tasks) {
    let delivering = app.clone();
    tasks.every("deliver_mails", LOOK, app.due.clone(), move || {
        let app = delivering.clone();
        async move { ops::deliver_mails(&app).await.map_err(Into::into) }
    });
    let removing = app.clone();
    tasks.every("remove_old_mails", REMOVE, Arc::new(Notify::new()), move || {
        let app = removing.clone();
        async move { ops::remove_old_mails(&app).await.map_err(Into::into) }
    });
    platform::housekeeping(app.db.clone(), app.clock.clone(), tasks);
}
