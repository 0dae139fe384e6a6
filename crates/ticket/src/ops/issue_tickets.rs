//! Turns a hold into sold places and issues a ticket for each, once per booking.

mod batch;

use std::collections::HashMap;

use kernel::{AccountId, BookingId, Currency, Failure, HoldId, Money, TicketId, reference};
use wire::Context;

pub(crate) use self::batch::{Decision, Sale, decide};
use crate::{
    app::{App, operators_only},
    code::Code,
    domain::{
        hold::Hold,
        ticket::{Ticket, TicketStatus},
    },
    error::Error,
    maps::Room,
    store::{holds, tickets},
};

/// The longest reference of a booking, in bytes.
const MAX_REFERENCE_BYTES: usize = 64;

/// Which hold becomes tickets of which booking, at which prices.
#[derive(Debug, Clone)]
pub struct IssueTickets {
    /// The hold.
    pub hold_id: HoldId,
    /// The booking; a repeat gets the same tickets.
    pub booking_id: BookingId,
    /// The booking as people know it.
    pub booking_reference: String,
    /// Whose hold it is.
    pub account_id: AccountId,
    /// Price of a ticket by category, in minor units.
    pub prices: HashMap<String, i64>,
    /// Of all prices.
    pub currency: Currency,
}

/// Issues the tickets of a booking, in the order of its places.
///
/// # Errors
/// `HOLD_LOST` if the hold is over and one of its places is not free any more; `HOLD_ISSUED` if it
/// became the tickets of another booking; `HOLD_MISMATCH` if it is another account's.
pub async fn issue_tickets(
    app: &App,
    context: &Context,
    command: IssueTickets,
) -> Result<Vec<Ticket>, Error> {
    operators_only(context)?;
    if command.booking_reference.len() > MAX_REFERENCE_BYTES {
        let detail = format!("at most {MAX_REFERENCE_BYTES} bytes");
        return Err(Failure::invalid("booking_reference", detail).into());
    }
    if command.prices.values().any(|price| *price < 0) {
        return Err(Failure::invalid("prices", "at least 0").into());
    }
    for _ in 0..app.config.max_tries {
        let (issued, hold) = match app.fresh.take(command.hold_id) {
            Some(fresh) => (Vec::new(), Some(fresh)),
            None => look_up(app, &command).await?,
        };
        if !issued.is_empty() {
            return repeated(&command, issued);
        }
        let hold = hold.ok_or_else(|| Failure::not_found("hold"))?;
        if hold.account_id != command.account_id {
            return Err(Error::HoldMismatch);
        }
        let room = app.maps.room(hold.event_id).await?;
        let tickets = prepare(app, &room, &hold, &command)?;
        let sale = Sale {
            hold,
            tickets,
            reference: command.booking_reference.clone(),
            now: app.now(),
            context: context.clone(),
        };
        let _writing = room.writing();
        match app.sales.call(sale).await? {
            Decision::Issued(tickets, change) => {
                room.apply(&change);
                app.outbox().wake();
                app.counted.issued.inc_by(tickets.len() as u64);
                return Ok(tickets);
            }
            Decision::Again => {}
            Decision::HoldIssued => {
                // To this booking, by a request at the same time? Then its tickets are there by
                // now.
                let (issued, _) = look_up(app, &command).await?;
                return match issued.is_empty() {
                    true => Err(Error::HoldIssued),
                    false => repeated(&command, issued),
                };
            }
            Decision::Lost(status) => return Err(Error::HoldLost(status)),
        }
    }
    Err(Failure::unavailable("others were faster too often").retry_after(200).into())
}

async fn look_up(app: &App, command: &IssueTickets) -> Result<(Vec<Ticket>, Option<Hold>), Error> {
    let (booking_id, hold_id) = (command.booking_id, command.hold_id);
    let read = app.db.read(move |tx| {
        Box::pin(async move {
            let issued = tickets::of_booking(tx, booking_id).await?;
            Ok::<_, db::Error>((issued, holds::find(tx, &[hold_id]).await?.remove(&hold_id)))
        })
    });
    Ok(read.await?)
}

/// The tickets that an earlier request was given.
fn repeated(command: &IssueTickets, issued: Vec<Ticket>) -> Result<Vec<Ticket>, Error> {
    let same = |ticket: &Ticket| {
        ticket.hold_id == command.hold_id && ticket.account_id == command.account_id
    };
    if issued.iter().all(same) { Ok(issued) } else { Err(Error::HoldMismatch) }
}

/// The tickets as they will be. Signed here, since signatures take longer than the rest of the
/// transaction.
fn prepare(
    app: &App,
    room: &Room,
    hold: &Hold,
    command: &IssueTickets,
) -> Result<Vec<Ticket>, Error> {
    let now = app.now();
    let places = hold.places.expand(&room.inventory.plan);
    if places.len() != hold.places.quantity() as usize {
        return Err(Failure::internal("a hold has seats that its event has not").into());
    }
    let mut tickets = Vec::with_capacity(places.len());
    for (ordinal, place) in (0_u32..).zip(places) {
        let Some(price) = command.prices.get(&place.category) else {
            let detail = format!("none for category {}", place.category);
            return Err(Failure::invalid("prices", detail).into());
        };
        let ticket_id = TicketId::new(app.ids(), now);
        let event_id = hold.event_id;
        let code = Code { ticket_id, event_id, valid_until: room.inventory.ends_at };
        tickets.push(Ticket {
            ticket_id,
            number: reference("TKT", app.ids(), now),
            hold_id: hold.hold_id,
            booking_id: command.booking_id,
            ordinal,
            event_id,
            account_id: hold.account_id,
            price: Money::new(*price, command.currency),
            place,
            status: TicketStatus::Issued,
            code: app.keys.sign(&code),
            issued_at: now,
            used: None,
        });
    }
    Ok(tickets)
}
