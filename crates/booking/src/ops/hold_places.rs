//! Holds places before there is a booking, for whoever still has to make up their mind: one durable
//! write, and nobody is asked for money. A booking that is made of the hold bears its id.

use std::time::Duration;

use kernel::{Choice, EventId, Failure, HoldId, Timestamp};
use wire::Context;

use super::is_admitted;
use crate::{
    Error,
    app::App,
    domain::Offer,
    saga::hold_seats::{self, Wanted},
};

/// How far the moment in an id may be from now: clocks are wrong at times, and ids sort by it.
const WRONG_BY: Duration = Duration::from_secs(24 * 3_600);

/// What is to be held.
#[derive(Debug, Clone)]
pub(crate) struct HoldPlaces {
    /// Made by the caller, so that a repeat finds the hold.
    pub(crate) hold_id: HoldId,
    /// Of which event.
    pub(crate) event_id: EventId,
    /// Which places.
    pub(crate) choice: Choice,
    /// From the event's queue; empty without.
    pub(crate) admission_token: String,
}

/// Holds places, all or none, and prices them: the offer, and until when it stands. A repeat gets
/// the same hold. A wish that was refused leaves nothing behind, and may be repeated.
///
/// # Errors
/// What the form, the terms of sale or the places refuse; `HOLD_MISMATCH` if the id was used for
/// another wish; `HOLD_LOST` if the hold is over.
pub(crate) async fn hold_places(
    app: &App,
    context: &Context,
    command: HoldPlaces,
) -> Result<(Offer, Timestamp), Error> {
    let HoldPlaces { hold_id, event_id, choice, admission_token } = command;
    let account_id = context.caller.account()?;
    let now = app.clock.now();
    check_id(hold_id, now)?;
    let wish = (is_admitted(app, account_id, event_id, &admission_token)?, choice);
    if let Some(refusal) = app.refusals.recall(event_id, &wish, now) {
        app.counts.refused_again(&refusal);
        return Err(refusal.into());
    }
    let wanted = Wanted { hold_id, event_id, account_id, wish: &wish };
    Ok(hold_seats::hold_places(app, context, &wanted).await?)
}

/// Whether the id is one that bookings may bear: they are listed in the order of their ids.
pub(super) fn check_id(id: HoldId, now: Timestamp) -> Result<(), Failure> {
    let uuid = id.uuid();
    let made = uuid.get_timestamp().filter(|_| uuid.get_version_num() == 7);
    let made = made.and_then(|made| i64::try_from(made.to_unix().0).ok());
    let near = |made: i64| made.abs_diff(now.seconds()) <= WRONG_BY.as_secs();
    if made.is_some_and(near) {
        return Ok(());
    }
    Err(Failure::invalid("hold_id", "must be a UUIDv7 that was made now"))
}
