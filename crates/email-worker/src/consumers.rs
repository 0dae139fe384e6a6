//! What events of other services lead to.

mod account_events;
mod booking_events;

use std::sync::Arc;

use platform::bus::Handler;

use crate::app::App;

/// Handles the events that this service reads; those that are of no concern here pass.
pub(crate) fn handler(app: Arc<App>) -> Handler {
    Arc::new(move |delivery| {
        let app = app.clone();
        Box::pin(async move {
            match &*delivery.kind {
                "account.registered" => account_events::registered(&app, &delivery).await?,
                "account.verification_requested" => {
                    account_events::verification_requested(&app, &delivery).await?;
                }
                "booking.confirmed" => booking_events::confirmed(&app, &delivery).await?,
                "booking.cancelled" => booking_events::cancelled(&app, &delivery).await?,
                "booking.refunded" => booking_events::refunded(&app, &delivery).await?,
                "booking.failed" => booking_events::failed(&app, &delivery).await?,
                _ => {}
            }
            Ok(())
        })
    })
}
