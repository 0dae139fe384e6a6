//! The caller's tickets, newest first.

use kernel::{AccountId, BookingId, Failure, Page, TicketId};
use uuid::Uuid;
use wire::Context;

use crate::{app::App, domain::ticket::Ticket, error::Error, store::tickets};

/// Which tickets.
#[derive(Debug)]
pub struct ListTickets {
    /// Which page.
    pub page: Page,
    /// Only of this booking; operators have to name one.
    pub booking_id: Option<BookingId>,
}

/// A page of the caller's tickets, and the cursor of the next one.
///
/// # Errors
/// `UNAUTHENTICATED` for visitors, `INVALID_ARGUMENT` for a cursor that is none.
pub async fn list_tickets(
    app: &App,
    context: &Context,
    command: ListTickets,
) -> Result<(Vec<Ticket>, String), Error> {
    let before = match command.page.cursor.as_str() {
        "" => TicketId::from_uuid(Uuid::max()),
        cursor => {
            let wrong = |_| Failure::invalid("page.cursor", "not a cursor of ours");
            cursor.parse().map_err(wrong)?
        }
    };
    let limit = command.page.limit;
    let account_id: Option<AccountId> = match command.booking_id {
        Some(_) if context.caller.is_operator() => None,
        _ => Some(context.caller.account()?),
    };
    let booking_id = command.booking_id;
    let found = app.db.view(move |tx| {
        Box::pin(async move {
            match (booking_id, account_id) {
                (Some(booking), _) => tickets::page_of_booking(tx, booking, before, limit).await,
                (None, Some(account)) => tickets::of_account(tx, account, before, limit).await,
                (None, None) => Ok(Vec::new()),
            }
        })
    });
    let found: Result<Vec<Ticket>, db::Error> = found.await;
    let mut found = found?;
    // A booking belongs to one account: all of it is the caller's, or nothing.
    found.retain(|ticket| account_id.is_none_or(|account| ticket.account_id == account));
    let full = found.len() >= limit as usize;
    let last = found.last().filter(|_| full);
    let next = last.map(|ticket| ticket.ticket_id.to_string()).unwrap_or_default();
    Ok((found, next))
}
