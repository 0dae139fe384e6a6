//! Gives a booking up.

use std::sync::Arc;

use kernel::{BookingId, Caller, Failure};
use wire::Context;

use crate::{
    Error,
    app::App,
    change::Change,
    domain::{Booking, Input, Status},
    ops::may_see,
    saga,
};

/// Which booking is given up, and why.
#[derive(Debug, Clone)]
pub(crate) struct CancelBooking {
    /// The booking.
    pub(crate) booking_id: BookingId,
    /// Why, in any words; kept in SCREAMING_SNAKE_CASE. Empty: by whom.
    pub(crate) reason: String,
}

const MAX_REASON_BYTES: usize = 200;

/// Cancels the booking: gives the places back, and the money, wherever it is. Safe to repeat. Where
/// somebody else is at work on the booking, they undo what they did; the answer is then given
/// before that is over.
///
/// # Errors
/// [`Error::NotFound`], also for anybody else's; [`Error::NotCancellable`] if it has ended
/// otherwise; [`Error::TooLate`]; `TICKET_USED` if a ticket was used.
pub(crate) async fn cancel_booking(
    app: &Arc<App>,
    context: &Context,
    command: CancelBooking,
) -> Result<Booking, Error> {
    if command.reason.len() > MAX_REASON_BYTES {
        let detail = format!("at most {MAX_REASON_BYTES} bytes");
        return Err(Failure::invalid("reason", detail).into());
    }
    let reason = screaming(&command.reason);
    let caller = context.caller.clone();
    let decided = app
        .decide(context, (command.booking_id, None), move |change| decide(change, &caller, &reason))
        .await?
        .ok_or(Error::NotFound)?;
    if !decided.mine {
        return if decided.booking.cursor.cancelling {
            Err(Error::Busy)
        } else {
            Ok(decided.booking)
        };
    }
    let driven = saga::drive(app, context, decided.booking).await?;
    match (driven.booking.state.status, driven.trouble) {
        (Status::Confirmed, Some(trouble)) => Err(trouble.into()),
        (Status::Confirmed, None) => Err(Error::Busy),
        _ => Ok(driven.booking),
    }
}

fn decide(change: &mut Change, caller: &Caller, reason: &str) -> Result<bool, Error> {
    let booking = &mut change.booking;
    if !may_see(caller, booking) {
        return Err(Error::NotFound);
    }
    let reason = if reason.is_empty() { by_whom(caller, booking) } else { reason };
    match booking.state.status {
        Status::Cancelled => return Ok(false),
        status if status.is_terminal() => return Err(Error::NotCancellable(status.as_str())),
        Status::Confirmed => {
            let starts_at = booking.offer.as_ref().map(|offer| offer.terms.starts_at);
            let started = starts_at.is_some_and(|starts_at| starts_at <= change.at);
            if started && !caller.is_operator() {
                return Err(Error::TooLate);
            }
            // The tickets go first, and may refuse; then it is cancelled.
            booking.cursor.cancelling = true;
            booking.cursor.attempts = 0;
            reason.clone_into(&mut booking.reason);
        }
        _ => change.end(Input::Cancel, reason)?,
    }
    Ok(true)
}

fn by_whom(caller: &Caller, booking: &Booking) -> &'static str {
    match caller {
        Caller::Account { id, .. } if *id == booking.account_id => "BY_BUYER",
        _ if caller.is_operator() => "BY_OPERATOR",
        _ => "BY_ORGANIZER",
    }
}

/// Words as a reason: letters and digits in upper case, all else as one underscore.
fn screaming(words: &str) -> String {
    let words = words.split(|character: char| !character.is_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).map(str::to_uppercase).collect();
    words.join("_")
}
