//! What events lead to.

mod payment_authorized;
mod payment_cancelled;
mod payment_captured;
mod payment_declined;
mod payment_failed;
mod payment_refund_failed;
mod payment_refunded;

use std::sync::Arc;

use kernel::{BookingId, Failure, MessageId};
use platform::bus::{Delivery, Handler};

use crate::{
    Error, NAME,
    app::App,
    change::Change,
    domain::{PaymentStatus, Step},
    saga,
};

/// Handles payment events.
pub(crate) fn payment_events(app: &Arc<App>) -> Handler {
    let app = app.clone();
    Arc::new(move |delivery| {
        let app = app.clone();
        Box::pin(async move { handle(&app, &delivery).await.map_err(Failure::from) })
    })
}

/// Handles one payment event. Kinds that mean nothing to bookings are passed over.
///
/// # Errors
/// If the event is none of ours, or the database fails. A part that is down is no error: the
/// booking is gone on with later.
pub(crate) async fn handle(app: &Arc<App>, delivery: &Delivery) -> Result<(), Error> {
    match &*delivery.kind {
        "payment.authorized" => payment_authorized::payment_authorized(app, delivery).await,
        "payment.captured" => payment_captured::payment_captured(app, delivery).await,
        "payment.declined" => payment_declined::payment_declined(app, delivery).await,
        "payment.failed" => payment_failed::payment_failed(app, delivery).await,
        "payment.cancelled" => payment_cancelled::payment_cancelled(app, delivery).await,
        "payment.refunded" => payment_refunded::payment_refunded(app, delivery).await,
        "payment.refund_failed" => {
            payment_refund_failed::payment_refund_failed(app, delivery).await
        }
        _ => Ok(()),
    }
}

/// Makes a decision that an event leads to, and drives the booking on from there. By the id of the
/// event it is made once; a decision that changes nothing where it was made before needs none.
async fn decide<F>(
    app: &Arc<App>,
    delivery: &Delivery,
    (booking_id, message): (&str, Option<MessageId>),
    decision: F,
) -> Result<(), Error>
where
    F: Fn(&mut Change) -> Result<bool, Error> + Send + Sync + 'static,
{
    let id: BookingId = wire::id("booking_id", booking_id)?;
    let context = delivery.context(NAME);
    let decided = match app.decide(&context, (id, message), decision).await {
        // No try can heal that: to the dead letters, where somebody sees it.
        Err(Error::NotFound) => {
            return Err(Failure::invalid("booking_id", "no booking of ours").into());
        }
        decided => decided?,
    };
    if let Some(decided) = decided
        && decided.mine
    {
        let driven = Box::pin(saga::drive(app, &context, decided.booking)).await?;
        if let Some(trouble) = driven.trouble {
            tracing::warn!(booking = %id, event = %delivery.kind, %trouble, "booking set back");
        }
        app.lag.note(delivery.at, app.clock.now());
    }
    Ok(())
}

/// Money that came for a booking that has ended goes back: by voiding, or by a refund.
fn give_back(change: &mut Change) -> bool {
    let booking = &mut change.booking;
    if matches!(booking.state.payment, PaymentStatus::Refunding | PaymentStatus::Refunded) {
        return false;
    }
    booking.cursor.undo = booking.cursor.undo.with(Step::CancelPayment);
    true
}

/// Notes the payment of an event whose booking has not learned of it yet.
fn note_payment(change: &mut Change, payment_id: &str) -> Result<(), Failure> {
    if change.booking.payment_id.is_none() {
        change.booking.payment_id = Some(wire::id("payment_id", payment_id)?);
    }
    Ok(())
}
