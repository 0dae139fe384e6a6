//! Gives back what an ended booking has taken.

use std::sync::Arc;

use kernel::Failure;
use wire::Context;

use super::{
    back_off, capture_payment, ended_as, hold_seats, is_transient, issue_tickets, request_payment,
};
use crate::{
    Error,
    app::App,
    change::{Change, DeadLetter},
    domain::{Booking, Step},
};

/// Tries all that is left to undo. What fails is tried again later; what fails for good waits for
/// an operator.
pub(super) async fn undo(
    app: &Arc<App>,
    context: &Context,
    mut booking: Booking,
) -> Result<(Change, Option<Failure>), Error> {
    let mut results = Vec::new();
    for step in booking.cursor.undo.steps() {
        let result = match step {
            Step::CancelTickets => {
                issue_tickets::cancel_tickets(app, context, &booking).await.map(|()| None)
            }
            Step::CancelPayment => {
                request_payment::cancel_payment(app, context, &mut booking).await.map(Some)
            }
            Step::RefundPayment => {
                capture_payment::refund_payment(app, context, &booking).await.map(Some)
            }
            _ => hold_seats::release_hold(app, context, &booking).await.map(|()| None),
        };
        app.counts.undone(step, ended_as(&result));
        results.push((step, result));
    }
    let mut change = Change::of(booking, app.clock.now());
    change.booking.cursor.attempts += 1;
    let exhausted = change.booking.cursor.attempts >= app.config.max_attempts;
    let mut trouble = None;
    for (step, result) in results {
        match result {
            Err(failure) if is_transient(&failure) && !exhausted => {
                trouble = Some(failure);
                continue;
            }
            Err(failure) => {
                tracing::error!(booking = %change.booking.id, step = step.as_str(), %failure,
                    "undoing given to an operator");
                change.dead_letters.push(letter(&change.booking, step, &failure, &change));
                trouble = Some(failure);
            }
            Ok(Some(input)) => change.step(input)?,
            Ok(None) => {}
        }
        change.booking.cursor.undo = change.booking.cursor.undo.without(step);
    }
    if change.booking.cursor.undo.is_empty() {
        change.rest_or_go_on(app.lease_until(change.at));
    } else {
        change.postpone(back_off(app, change.at, change.booking.cursor.attempts));
    }
    Ok((change, trouble))
}

pub(super) fn letter(
    booking: &Booking,
    step: Step,
    failure: &Failure,
    change: &Change,
) -> DeadLetter {
    DeadLetter {
        booking_id: booking.id,
        step,
        attempts: booking.cursor.attempts,
        last_error: failure.to_string(),
        since: change.at,
    }
}
