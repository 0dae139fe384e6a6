//! The verbs.

mod cancel_booking;
mod forget_refusals;
mod get_booking;
mod get_history;
mod hold_places;
mod list_bookings;
mod list_dead_letters;
mod open_booking;
mod release_places;
mod resume_sagas;
mod retry_dead_letter;

use kernel::{AccountId, BookingId, Caller, EventId, Failure};

pub(crate) use cancel_booking::{CancelBooking, cancel_booking};
pub(crate) use forget_refusals::forget_refusals;
pub(crate) use get_booking::get_booking;
pub(crate) use get_history::get_history;
pub(crate) use hold_places::{HoldPlaces, hold_places};
pub(crate) use list_bookings::list_bookings;
pub(crate) use list_dead_letters::list_dead_letters;
pub(crate) use open_booking::{OpenBooking, open_booking};
pub(crate) use release_places::release_places;
pub(crate) use resume_sagas::resume_sagas;
pub(crate) use retry_dead_letter::{RetryDeadLetter, retry_dead_letter};

use crate::{Error, app::App, domain::Booking, store};

/// Whether a booking is the caller's business: the buyer's, the organization's whose event it is,
/// an operator's.
fn may_see(caller: &Caller, booking: &Booking) -> bool {
    caller.may_act_for(booking.account_id)
        || booking.organization_id().is_some_and(|id| caller.may_act_for_organization(id))
}

/// A booking, if it is the caller's business.
async fn visible(app: &App, caller: &Caller, id: BookingId) -> Result<Booking, Error> {
    let found = store::find(&app.db, id).await?;
    found.filter(|booking| may_see(caller, booking)).ok_or(Error::NotFound)
}

/// The longest token of an admission.
const MAX_TOKEN_BYTES: usize = 1_024;

/// Whether a buyer comes with a valid admission to the event. Only an event in queue mode asks for
/// one.
fn is_admitted(
    app: &App,
    account: AccountId,
    event: EventId,
    token: &str,
) -> Result<bool, Failure> {
    if token.len() > MAX_TOKEN_BYTES {
        let detail = format!("at most {MAX_TOKEN_BYTES} bytes");
        return Err(Failure::invalid("admission_token", detail));
    }
    if token.is_empty() {
        return Ok(false);
    }
    let opened = app.seal.open("admission", token, app.clock.now());
    Ok(opened.is_ok_and(|(content, _)| content == format!("{event}/{account}")))
}

/// Refuses everybody but operators.
fn operators_only(caller: &Caller) -> Result<(), Failure> {
    if caller.is_operator() {
        return Ok(());
    }
    caller.account()?;
    Err(Failure::forbidden("operators only"))
}
