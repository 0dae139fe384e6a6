//! Drafts an event at a venue.

use std::sync::Arc;

use kernel::{EventId, VenueId};
use wire::Context;

use crate::{
    app::{self, App, Authority},
    domain::{Event, Problems, Status, Terms},
    error::Error,
    store,
};

/// A draft to be.
pub(crate) struct CreateEvent {
    pub(crate) venue: VenueId,
    pub(crate) terms: Terms,
}

pub(crate) async fn create_event(
    app: &Arc<App>,
    context: &Context,
    command: CreateEvent,
) -> Result<Event, Error> {
    let authority = Authority::of(&context.caller)?;
    let mut problems = Problems::default();
    command.terms.check(&mut problems);
    problems.into_result().map_err(Error::Invalid)?;
    let now = app.clock.now();
    let id = EventId::new(&*app.ids, now);
    let actor = app::actor(&context.caller);
    let (venue, terms) = (command.venue, command.terms);
    app.db
        .write(move |tx| {
            let (actor, terms) = (actor.clone(), terms.clone());
            Box::pin(async move {
                let venue = store::venue(tx, venue).await?;
                let venue = venue.filter(|venue| authority.covers(venue.organization));
                let venue = venue.ok_or(Error::VenueNotFound)?;
                let event = Event {
                    id,
                    organization: venue.organization,
                    venue: venue.id,
                    venue_name: venue.name,
                    venue_city: venue.city,
                    time_zone: venue.time_zone,
                    capacity: venue.capacity,
                    terms,
                    status: Status::Draft,
                    version: 1,
                    created_at: now,
                    updated_at: now,
                    published_at: None,
                };
                store::insert_event(tx, &event).await?;
                store::append_history(tx, &[event.drafted()], &actor).await?;
                Ok(event)
            })
        })
        .await
}
