//! Takes a place in an event's queue.

use kernel::{Choice, EventId, Timestamp};
use wire::Context;

use super::{PlaceSeen, get_place::seen};
use crate::{
    app::App,
    domain::{Gate, Line, Outcome, Place, Standing, position},
    error::Error,
    store,
};

pub(crate) struct JoinQueue {
    pub(crate) event: EventId,
    /// What to book when it is the place's turn.
    pub(crate) wish: Option<Choice>,
}

/// Takes a place, or finds the one that the account has, be it admitted already. Before the sale
/// begins, and while everything is sold, places are given out too, and wait.
pub(crate) async fn join_queue(
    app: &App,
    context: &Context,
    command: JoinQueue,
) -> Result<PlaceSeen, Error> {
    let account = context.caller.account()?;
    let event = command.event;
    let line = store::line(&app.queue, event).await?.ok_or(Error::EventNotFound)?;
    let known = store::place(&app.queue, event, account).await?;
    let now = app.clock.now();
    if let Some(place) = known.filter(|place| stands(place, now)) {
        return seen(app, (event, account), &line, place).await;
    }
    check(&line, command.wish.as_ref(), now)?;
    let max_waiting = app.config.max_waiting;
    let joining = store::join(&app.queue, (event, account), command.wish.as_ref(), max_waiting);
    let (place, is_new) = joining.await?;
    if is_new {
        app.counts.joined.inc();
        app.lines.add(event);
    }
    let number = place.number;
    let place = seen(app, (event, account), &line, place).await?;
    if is_new && position(number, place.serving) <= 1 {
        app.due.notify_one();
    }
    Ok(place)
}

/// Whether it is a place to go on with, whatever has become of the sale. Whether what else became
/// of a place holds is for the queue to decide.
fn stands(place: &Place, now: Timestamp) -> bool {
    match &place.standing {
        Standing::Waiting | Standing::Processing => true,
        Standing::Served(Outcome::Admitted { expires_at }) => now < *expires_at,
        Standing::Served(_) => false,
    }
}

fn check(line: &Line, wish: Option<&Choice>, now: Timestamp) -> Result<(), Error> {
    if line.gate(now) == Gate::Over {
        return Err(Error::SaleOver);
    }
    if !line.queue {
        return Err(Error::NoQueue);
    }
    let limit = line.max_per_booking;
    match wish {
        Some(wish) if limit > 0 && wish.quantity() > limit => Err(Error::TooManyPlaces(limit)),
        _ => Ok(()),
    }
}
