//! Turns the hold into tickets; undone by cancelling them, which frees their places.

use kernel::{Code, Failure};
use wire::{
    Context,
    pb::ticket::v1::{
        CancelTicketsRequest, IssueTicketsRequest, Ticket, client::TicketServiceClient,
        issue_tickets_request::CategoryPrice,
    },
};

use crate::{app::App, domain::Booking};

/// Issues the booking's tickets. A repeat gets the same tickets. Refused with `HOLD_LOST` if the
/// hold has lapsed and its places are gone.
pub(crate) async fn issue_tickets(
    app: &App,
    context: &Context,
    booking: &Booking,
) -> Result<Vec<Ticket>, Failure> {
    let offer = booking.offer.as_ref();
    let offer = offer.ok_or_else(|| Failure::internal("tickets before the offer"))?;
    let price = |line: &crate::domain::Line| CategoryPrice {
        category: line.category.clone(),
        unit_price_minor: line.unit_price_minor,
    };
    let request = IssueTicketsRequest {
        hold_id: booking.id.to_string(),
        booking_id: booking.id.to_string(),
        booking_reference: booking.reference.clone(),
        account_id: booking.account_id.to_string(),
        prices: offer.lines.iter().map(price).collect(),
        currency: offer.total.currency.to_string(),
    };
    let mut tickets = TicketServiceClient::new(app.ticket.with(&app.calling(context)));
    let answer = tickets.issue_tickets(request).await;
    let issued = answer.map_err(|status| wire::failure(&status))?.into_inner().tickets;
    if issued.len() != offer.places.len() {
        return Err(Failure::internal("another number of tickets than places"));
    }
    Ok(issued)
}

/// Cancels the booking's tickets, if there are any. Refused if one was used.
pub(crate) async fn cancel_tickets(
    app: &App,
    context: &Context,
    booking: &Booking,
) -> Result<(), Failure> {
    let request =
        CancelTicketsRequest { booking_id: booking.id.to_string(), reason: booking.reason.clone() };
    let mut tickets = TicketServiceClient::new(app.ticket.with(&app.calling(context)));
    match tickets.cancel_tickets(request).await.map_err(|status| wire::failure(&status)) {
        Err(failure) if failure.code == Code::NotFound => Ok(()),
        Err(failure) => Err(failure),
        Ok(_) => {
            app.refusals.forget(booking.event_id, app.clock.now());
            Ok(())
        }
    }
}
