//! What tickets cost, and on which terms they are sold. The hot path: one for each booking.

use std::sync::Arc;

use kernel::EventId;

use crate::{app::App, domain::Event, error::Error};

/// Prices and terms at this moment.
#[derive(Debug)]
pub(crate) struct Quote {
    pub(crate) event: Arc<Event>,
    pub(crate) on_sale: bool,
}

pub(crate) async fn quote(app: &App, id: EventId) -> Result<Quote, Error> {
    let event = app.cache.event(id).await?;
    app.counters.quotes.inc();
    let on_sale = event.sale_is_open(app.clock.now());
    Ok(Quote { event, on_sale })
}
