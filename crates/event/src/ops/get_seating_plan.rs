//! The seating plan of an event: as it was published, or of a draft what it would be.

use std::sync::Arc;

use kernel::EventId;
use wire::Context;

use super::get_event;
use crate::{app::App, domain::Plan, error::Error, store};

pub(crate) async fn get_seating_plan(
    app: &App,
    context: &Context,
    id: EventId,
) -> Result<Arc<Plan>, Error> {
    let event = get_event(app, context, id).await?;
    if event.is_public() {
        return app.cache.plan(id).await;
    }
    let venue = event.venue;
    let found = app.db.view(move |tx| Box::pin(store::venue(tx, venue))).await?;
    let plan = found.and_then(|venue| venue.plan).ok_or(Error::VenueNotFound)?;
    Ok(Arc::new(plan))
}
