//! Changes a draft; or the words, prices and terms of sale of a published event.

use std::sync::Arc;

use kernel::{EventId, Failure};
use wire::Context;

use crate::{
    app::{App, Authority},
    domain::{Edit, Event},
    error::Error,
    events, store,
};

/// What to change of which event.
pub(crate) struct UpdateEvent {
    pub(crate) event: EventId,
    pub(crate) edit: Edit,
    /// The version that the caller has seen; none: whatever it is.
    pub(crate) version: Option<i64>,
}

pub(crate) async fn update_event(
    app: &Arc<App>,
    context: &Context,
    command: UpdateEvent,
) -> Result<Event, Error> {
    let authority = Authority::of(&context.caller)?;
    let now = app.clock.now();
    let (inner, own, id) = (Arc::clone(app), context.clone(), command.event);
    let (edit, version) = (command.edit, command.version);
    let (event, changed) = app
        .db
        .write(move |tx| {
            let (app, context, edit) = (Arc::clone(&inner), own.clone(), edit.clone());
            Box::pin(async move {
                let found = store::event_for_update(tx, id).await?.ok_or(Error::EventNotFound)?;
                let mut event = owned(found, authority)?;
                let before = event.version;
                if version.is_some_and(|version| version != before) {
                    return Err(Error::Stale(before));
                }
                let changed = event.edit(edit, now)?;
                if changed {
                    store::update_event(tx, &event, before).await?;
                }
                if changed && event.is_public() {
                    let message = events::updated(&app, &context, &event, now)?;
                    app.outbox.append(tx, &[message]).await?;
                }
                Ok((event, changed))
            })
        })
        .await?;
    if changed {
        app.committed(event.id, &[]).await;
    }
    Ok(event)
}

/// The event, if it may be changed: drafts of others do not exist.
pub(super) fn owned(event: Event, authority: Authority) -> Result<Event, Error> {
    match (authority.covers(event.organization), event.is_public()) {
        (true, _) => Ok(event),
        (false, true) => Err(Failure::forbidden("only for the event's organization").into()),
        (false, false) => Err(Error::EventNotFound),
    }
}
