//! One ticket, for its holder and for operators.

use kernel::{Failure, TicketId};
use wire::Context;

use crate::{app::App, domain::ticket::Ticket, error::Error, store::tickets};

/// A ticket.
///
/// # Errors
/// `NOT_FOUND` if there is none, or it is not the caller's.
pub async fn get_ticket(
    app: &App,
    context: &Context,
    ticket_id: TicketId,
) -> Result<Ticket, Error> {
    let found = app.db.view(move |tx| Box::pin(async move { tickets::find(tx, ticket_id).await }));
    let found: Result<_, db::Error> = found.await;
    let found = found?.filter(|ticket| context.caller.may_act_for(ticket.account_id));
    found.ok_or_else(|| Failure::not_found("ticket").into())
}
