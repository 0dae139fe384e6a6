//! Publishes a draft: checks it, opens its inventory at ticket-service, then makes it public.
//!
//! The inventory is opened first and outside of any transaction, keyed by the event: a crash in
//! between leaves an inventory of a draft, which nobody can buy from and the next try finds open.

use std::sync::Arc;

use kernel::EventId;
use wire::Context;

use super::update_event::owned;
use crate::{
    app::{self, App, Authority},
    domain::{Change, Event, Plan, Status},
    error::Error,
    events, inventory, store,
};

pub(crate) async fn publish_event(
    app: &Arc<App>,
    context: &Context,
    id: EventId,
) -> Result<Event, Error> {
    let authority = Authority::of(&context.caller)?;
    let read = app.db.read(move |tx| {
        Box::pin(async move {
            let Some(event) = store::event(tx, id).await? else { return Ok(None) };
            let venue = store::venue(tx, event.venue).await?;
            Ok::<_, db::Error>(Some((event, venue.and_then(|venue| venue.plan))))
        })
    });
    let (event, plan) = read.await?.ok_or(Error::EventNotFound)?;
    let event = owned(event, authority)?;
    if is_published(&event) {
        return Ok(event);
    }
    let plan = Arc::new(plan.ok_or(Error::VenueNotFound)?);
    event.check_publishable(&plan, app.clock.now()).map_err(Error::NotReady)?;
    inventory::open(app, context, &event, &plan).await?;
    let (event, changes) = publish(app, context, &event, plan).await?;
    app.committed(event.id, &changes).await;
    Ok(event)
}

/// Whether an earlier call has done it.
fn is_published(event: &Event) -> bool {
    event.is_public() && event.status != Status::Postponed && event.status != Status::Cancelled
}

/// Makes public the draft that was checked as `seen`.
async fn publish(
    app: &Arc<App>,
    context: &Context,
    seen: &Event,
    plan: Arc<Plan>,
) -> Result<(Event, Vec<Change>), Error> {
    let (id, version) = (seen.id, seen.version);
    let now = app.clock.now();
    let (inner, context) = (Arc::clone(app), context.clone());
    app.db
        .write(move |tx| {
            let (app, context, plan) = (Arc::clone(&inner), context.clone(), Arc::clone(&plan));
            Box::pin(async move {
                let mut event =
                    store::event_for_update(tx, id).await?.ok_or(Error::EventNotFound)?;
                if is_published(&event) {
                    return Ok((event, Vec::new()));
                }
                if event.version != version {
                    return Err(Error::Stale(event.version));
                }
                let changes = event.publish(now)?;
                store::update_event(tx, &event, version).await?;
                store::insert_plan(tx, id, &plan).await?;
                store::append_history(tx, &changes, &app::actor(&context.caller)).await?;
                let message = events::published(&app, &context, &event, now)?;
                app.outbox.append(tx, &[message]).await?;
                Ok((event, changes))
            })
        })
        .await
}
