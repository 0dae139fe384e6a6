//! The verbs.

mod cancel_booking;
mod forget_refusals;
mod get_booking;
mod get_history;
mod list_bookings;
mod list_dead_letters;
mod open_booking;
mod resume_sagas;
mod retry_dead_letter;

use kernel::{BookingId, Caller, Failure};

pub(crate) use cancel_booking::{CancelBooking, cancel_booking};
pub(crate) use forget_refusals::forget_refusals;
pub(crate) use get_booking::get_booking;
pub(crate) use get_history::get_history;
pub(crate) use list_bookings::list_bookings;
pub(crate) use list_dead_letters::list_dead_letters;
pub(crate) use open_booking::{OpenBooking, open_booking};
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
    let found = app
        .db
        .view(move |tx| Box::pin(async move { Ok::<_, Error>(store::load(tx, id).await?) }))
        .await?;
    found.filter(|booking| may_see(caller, booking)).ok_or(Error::NotFound)
}

/// Refuses everybody but operators.
fn operators_only(caller: &Caller) -> Result<(), Failure> {
    if caller.is_operator() {
        return Ok(());
    }
    caller.account()?;
    Err(Failure::forbidden("operators only"))
}
