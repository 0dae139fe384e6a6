//! One event: a published one for everybody, a draft for its organization.

use std::sync::Arc;

use kernel::EventId;
use wire::Context;

use crate::{
    app::{App, Authority},
    domain::Event,
    error::Error,
    store,
};

pub(crate) async fn get_event(
    app: &App,
    context: &Context,
    id: EventId,
) -> Result<Arc<Event>, Error> {
    // Who edits events sees each as it is; everybody else may see it a moment old.
    let Ok(authority) = Authority::of(&context.caller) else { return app.cache.event(id).await };
    let found = app.db.view(move |tx| Box::pin(store::event(tx, id))).await?;
    let visible = |event: &Event| event.is_public() || authority.covers(event.organization);
    Ok(Arc::new(found.filter(visible).ok_or(Error::EventNotFound)?))
}
