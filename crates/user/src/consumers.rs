//! What events of other services lead to.

mod account_registered;

use std::sync::Arc;

use platform::bus::Handler;

use crate::app::App;

/// Handles account-events; those that are of no concern here pass.
pub(crate) fn account_events(app: Arc<App>) -> Handler {
    Arc::new(move |delivery| {
        let app = app.clone();
        Box::pin(async move {
            match &*delivery.kind {
                "account.registered" => account_registered::handle(&app, &delivery).await,
                _ => Ok(()),
            }
        })
    })
}
