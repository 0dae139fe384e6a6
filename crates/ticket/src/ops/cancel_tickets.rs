//! Cancels a booking's tickets and frees their places.

use std::sync::Arc;

use db::Tx;
use kernel::{BookingId, Failure, Timestamp};
use wire::Context;

use super::use_ticket::actor;
use crate::{
    app::{App, operators_only},
    domain::{
        hold::{Hold, HoldStatus},
        seatmap::State,
        ticket::{self, Input, Ticket},
    },
    error::Error,
    ledger::{self, Changes, Desk, Move},
    store::{
        claims,
        holds::{self, Ending},
        tickets,
    },
};

/// The longest reason, in bytes.
const MAX_REASON_BYTES: usize = 200;

/// Which booking, and why.
#[derive(Debug)]
pub struct CancelTickets {
    /// The booking.
    pub booking_id: BookingId,
    /// Why, for the history.
    pub reason: String,
}

/// Cancels a booking's tickets, and returns how many; 0 if there is nothing (any more) to cancel.
///
/// # Errors
/// `TICKET_USED` if one of them was used.
pub async fn cancel_tickets(
    app: &App,
    context: &Context,
    command: CancelTickets,
) -> Result<u32, Error> {
    operators_only(context)?;
    if command.reason.len() > MAX_REASON_BYTES {
        return Err(Failure::invalid("reason", format!("at most {MAX_REASON_BYTES} bytes")).into());
    }
    let (command, desk, now) = (Arc::new(command), app.desk.clone(), app.now());
    let context = context.clone();
    let cancelled = app.db.write(move |tx| {
        let (command, desk, context) = (command.clone(), desk.clone(), context.clone());
        Box::pin(async move { cancel(tx, &desk, &command, (&context, now)).await })
    });
    let (count, changes) = cancelled.await?;
    app.maps.apply(&changes);
    if count > 0 {
        app.outbox().wake();
        app.counted.cancelled.inc_by(u64::from(count));
    }
    Ok(count)
}

async fn cancel(
    tx: &mut Tx,
    desk: &Desk,
    command: &CancelTickets,
    (context, now): (&Context, Timestamp),
) -> Result<(u32, Changes), Error> {
    let all = tickets::lock_booking(tx, command.booking_id).await?;
    let mut live: Vec<&Ticket> = Vec::new();
    for ticket in &all {
        let next = ticket::step(ticket.status, Input::Cancel).map_err(|_| Error::TicketUsed)?;
        if next != ticket.status {
            live.push(ticket);
        }
    }
    let Some(first) = live.first() else { return Ok((0, Changes::new())) };
    let hold = holds::lock(tx, &[first.hold_id]).await?.remove(&first.hold_id);
    let hold = hold.ok_or_else(|| ledger::corrupt("tickets.hold_id", "no such hold"))?;
    // Only the places of those that are cancelled now.
    let seats = live.iter().filter_map(|ticket| ticket.place.seat.clone()).collect();
    let places = ledger::places_of(seats, &first.place.section, live.len());
    let hold = Hold { places, ..hold };
    let claims = ledger::claims_of(std::iter::once(&hold));
    if claims::free(tx, &claims).await? != claims.len() as u64 {
        return Err(ledger::corrupt("claims", "a ticket has lost its claim"));
    }
    let (hold_id, reason) = (hold.hold_id, command.reason.as_str());
    let ending = Ending { hold_id, status: HoldStatus::Released, reason, at: now };
    holds::end(tx, &[ending]).await?;
    let by = (reason, &*actor(&context.caller));
    tickets::cancel(tx, command.booking_id, by, now).await?;
    let (from, to) = (State::Sold, State::Free);
    let step = Move { hold: &hold, from, to, reason: "cancelled", at: now, context };
    ledger::shift_all(tx, &[step]).await?;
    let changes = ledger::post(tx, desk, &[step]).await?;
    Ok((hold.places.quantity(), changes))
}
