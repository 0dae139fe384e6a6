//! Follows what ticket-service says of an event's seats: sold out when the last is sold, back on
//! sale when one is free.
//!
//! Messages of an event come in order, and the last one decides: whatever is delivered again leads
//! to the same status. That is why no message id is remembered (to skip the last message of a
//! repeat, and not those before it, would end in the wrong status), and why a message that changes
//! nothing, which is nearly every one, costs no statement.

use std::sync::Arc;

use kernel::EventId;
use wire::Context;

use crate::{
    app::{self, App},
    domain::{Event, Status},
    error::Error,
    events, store,
};

/// What ticket-service says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeatsChanged {
    pub(crate) event: EventId,
    /// Places neither held nor sold, after the change.
    pub(crate) available: i64,
    /// Whether the change was a sale.
    pub(crate) sold: bool,
}

pub(crate) async fn follow_seats(
    app: &Arc<App>,
    context: &Context,
    seats: SeatsChanged,
) -> Result<(), Error> {
    let event = match app.cache.event(seats.event).await {
        Ok(event) => event,
        // An inventory whose event is not public yet sells nothing.
        Err(Error::EventNotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    if !may_matter(&event, seats) {
        return Ok(());
    }
    let now = app.clock.now();
    let (inner, context) = (Arc::clone(app), context.clone());
    let changes = app
        .db
        .write(move |tx| {
            let (app, context) = (Arc::clone(&inner), context.clone());
            Box::pin(async move {
                let found = store::event_for_update(tx, seats.event).await?;
                let mut event = found.ok_or(Error::EventNotFound)?;
                let before = event.version;
                let changes = event.follow_seats(seats.available, seats.sold, now)?;
                if !changes.is_empty() {
                    store::update_event(tx, &event, before).await?;
                    store::append_history(tx, &changes, &app::actor(&context.caller)).await?;
                    let messages = events::stepped(&app, &context, &event, &changes)?;
                    app.outbox.append(tx, &messages).await?;
                }
                Ok::<_, Error>(changes)
            })
        })
        .await?;
    if !changes.is_empty() {
        app.committed(seats.event, &changes).await;
    }
    Ok(())
}

fn may_matter(event: &Event, seats: SeatsChanged) -> bool {
    match event.status {
        Status::SoldOut => seats.available > 0,
        Status::Published | Status::OnSale => seats.sold && seats.available <= 0,
        _ => false,
    }
}
