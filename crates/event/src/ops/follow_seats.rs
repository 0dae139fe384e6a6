//! Follows what ticket-service says of an event's seats: sold out when the last is sold, back on
//! sale when one is free.
//!
//! The newest message decides, by its sequence: whatever is delivered again, late, or by another
//! replica at the same time leads to the same status. The sequence is written with each status that
//! it leads to, which is all it takes: an older message that would change the status has been
//! followed by the newer one that did. No message id is remembered, and a message that changes
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
    /// How many places the change was about.
    pub(crate) places: i64,
    /// Whether the change was a sale.
    pub(crate) sold: bool,
    /// Grows with each message of the event; 0: not known.
    pub(crate) sequence: i64,
}

pub(crate) async fn follow_seats(
    app: &Arc<App>,
    context: &Context,
    seats: SeatsChanged,
) -> Result<(), Error> {
    if !is_back(seats) && !matters_to_known(app, seats).await? {
        return Ok(());
    }
    let now = app.clock.now();
    let (inner, context) = (Arc::clone(app), context.clone());
    let changes = app
        .db
        .write(move |tx| {
            let (app, context) = (Arc::clone(&inner), context.clone());
            Box::pin(async move {
                // An inventory whose event is not public yet sells nothing.
                let found = store::event_for_update(tx, seats.event).await?;
                let Some(mut event) = found.filter(Event::is_public) else { return Ok(Vec::new()) };
                if is_older(seats, store::seats_sequence(tx, seats.event).await?) {
                    return Ok(Vec::new());
                }
                let before = event.version;
                let changes = event.follow_seats(seats.available, seats.sold, now)?;
                if !changes.is_empty() {
                    store::update_event(tx, &event, before).await?;
                    store::set_seats_sequence(tx, seats.event, seats.sequence).await?;
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

/// Whether by this change the first place came back where none was left. That is looked up whatever
/// this replica knows of the event: another may just have written that it is sold out, and to miss
/// it would keep the sale closed.
const fn is_back(seats: SeatsChanged) -> bool {
    !seats.sold && seats.available > 0 && seats.available <= seats.places
}

/// Whether the change goes against the event as this replica knows it.
async fn matters_to_known(app: &App, seats: SeatsChanged) -> Result<bool, Error> {
    let event = match app.cache.event(seats.event).await {
        Ok(event) => event,
        Err(Error::EventNotFound) => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(match event.status {
        Status::SoldOut => seats.available > 0,
        Status::Published | Status::OnSale => seats.sold && seats.available <= 0,
        _ => false,
    })
}

/// Whether a newer message has led to the status.
const fn is_older(seats: SeatsChanged, followed: i64) -> bool {
    seats.sequence != 0 && seats.sequence < followed
}
