//! Gives the places of a hold back that no booking was made of.

use kernel::{BookingId, Code, Failure, HoldId};
use wire::{
    Context,
    pb::ticket::v1::{ReleaseHoldRequest, client::TicketServiceClient},
};

use crate::{Error, app::App, store};

/// Gives a hold of the caller's back; `false` if there was nothing to give back.
///
/// # Errors
/// `HOLD_BOOKED` if there is a booking of it, which is what can be cancelled.
pub(crate) async fn release_places(
    app: &App,
    context: &Context,
    hold_id: HoldId,
) -> Result<bool, Error> {
    let account_id = context.caller.account()?;
    let id = BookingId::from_uuid(hold_id.uuid());
    let booking = app
        .db
        .read(move |tx| Box::pin(async move { Ok::<_, Error>(store::load(tx, id).await?) }))
        .await?;
    if booking.is_some_and(|booking| booking.account_id == account_id) {
        let detail = "there is a booking of it, which can be cancelled";
        return Err(Failure::new(Code::Conflict, "HOLD_BOOKED", detail).into());
    }
    let request = ReleaseHoldRequest {
        hold_id: hold_id.to_string(),
        reason: "abandoned".to_owned(),
        account_id: account_id.to_string(),
    };
    let mut tickets = TicketServiceClient::new(app.ticket.with(&app.calling(context)));
    let answer = tickets.release_hold(request).await.map_err(|status| wire::failure(&status))?;
    let answer = answer.into_inner();
    if answer.released {
        app.refusals.forget(wire::id("event_id", &answer.event_id)?, app.clock.now());
    }
    Ok(answer.released)
}
