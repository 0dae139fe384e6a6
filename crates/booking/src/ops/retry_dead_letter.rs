//! Has an undoing that was given up tried again.

use std::sync::Arc;

use kernel::BookingId;
use wire::Context;

use crate::{
    Error,
    app::App,
    domain::{Status, Step},
    ops::operators_only,
    saga, store,
};

/// Which undoing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryDeadLetter {
    /// Of which booking.
    pub(crate) booking_id: BookingId,
    /// What is to be undone.
    pub(crate) step: Step,
}

/// Takes the dead letter back and tries at once. If that fails for good, it is a dead letter again.
///
/// # Errors
/// For everybody but operators; [`Error::NoDeadLetter`].
pub(crate) async fn retry_dead_letter(
    app: &Arc<App>,
    context: &Context,
    command: RetryDeadLetter,
) -> Result<(), Error> {
    operators_only(&context.caller)?;
    let RetryDeadLetter { booking_id, step } = command;
    let found = app
        .db
        .read(move |tx| {
            Box::pin(async move { Ok::<_, Error>(store::buried(tx, booking_id, step).await?) })
        })
        .await?;
    if !found {
        return Err(Error::NoDeadLetter);
    }
    let decided = app
        .decide(context, (booking_id, None), move |change| {
            change.revived.push(step);
            let booking = &mut change.booking;
            booking.cursor.attempts = 0;
            match booking.state.status {
                Status::Confirmed if step == Step::CancelTickets => {
                    booking.cursor.cancelling = true;
                    "BY_OPERATOR".clone_into(&mut booking.reason);
                }
                status if status.is_terminal() => {
                    booking.cursor.undo = booking.cursor.undo.with(step);
                }
                // A booking that went on has nothing to undo; the letter is out of date.
                _ => {}
            }
            Ok(true)
        })
        .await?;
    if let Some(decided) = decided
        && decided.mine
    {
        saga::drive(app, context, decided.booking).await?;
    }
    Ok(())
}
