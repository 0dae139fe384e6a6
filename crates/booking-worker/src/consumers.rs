//! What events of other services lead to.

mod event_changed;

use std::sync::Arc;

use platform::bus::Handler;

use crate::app::App;

/// Handles the events that this service reads; those that are of no concern here pass.
pub(crate) fn handler(app: Arc<App>) -> Handler {
    Arc::new(move |delivery| {
        let app = app.clone();
        Box::pin(async move {
            match &*delivery.kind {
                "event.published" | "event.updated" => {
                    event_changed::changed(&app, &delivery).await?;
                }
                "event.sold_out" | "event.back_on_sale" => {
                    event_changed::availability_changed(&app, &delivery).await?;
                }
                _ => {}
            }
            Ok(())
        })
    })
}
