//! Lets a ticket in, once. For the event's organization.

use std::sync::Arc;

use kernel::{Caller, EventId, Failure};
use platform::bus::{Envelope, TICKET_EVENTS};
use wire::{Context, pb::ticket::v1::TicketUsed};

use super::validate_ticket::{guard_door, judge, read_code, unknown};
use crate::{
    NAME, app::App, counters::Outcome, domain::ticket::Ticket, error::Error, store::tickets,
};

/// The longest name of a gate, in bytes.
const MAX_GATE_BYTES: usize = 64;

/// The code, and the door.
#[derive(Debug)]
pub struct UseTicket {
    /// What the QR code holds.
    pub code: String,
    /// The event at whose door this is.
    pub event_id: EventId,
    /// Which gate of it.
    pub gate: String,
}

/// Lets a ticket in.
///
/// # Errors
/// `TICKET_ALREADY_USED`, `TICKET_EVENT_MISMATCH`, `INVALID_TICKET`, `CANCELLED_TICKET`;
/// `FORBIDDEN` if the event is another organization's.
pub async fn use_ticket(app: &App, context: &Context, command: UseTicket) -> Result<Ticket, Error> {
    if command.gate.len() > MAX_GATE_BYTES || command.gate.chars().any(char::is_control) {
        let detail = format!("at most {MAX_GATE_BYTES} bytes, no control characters");
        return Err(Failure::invalid("gate", detail).into());
    }
    guard_door(app, context, command.event_id).await?;
    let used = let_in(app, context, command).await;
    let outcome = used.as_ref().map_or_else(Error::reason, |_| "USED");
    app.counted.uses.get_or_create(&Outcome { outcome }).inc();
    if used.is_ok() {
        app.outbox().wake();
    }
    used
}

async fn let_in(app: &App, context: &Context, command: UseTicket) -> Result<Ticket, Error> {
    let code = read_code(app, &command.code, command.event_id).await?;
    let (event_id, now) = (command.event_id, app.now());
    let (gate, desk) = (Arc::<str>::from(command.gate), app.desk.clone());
    let context = context.clone();
    let used = app.db.write(move |tx| {
        let (gate, desk, context) = (gate.clone(), desk.clone(), context.clone());
        Box::pin(async move {
            // The condition on its status decides who is first; only then is the ticket read.
            let by = (&*gate, &*actor(&context.caller));
            let first = tickets::mark_used(tx, code.ticket_id, by, now).await?;
            let ticket = tickets::find(tx, code.ticket_id).await?.ok_or_else(unknown)?;
            if !first {
                judge(&ticket, event_id)?;
                return Err(unknown());
            }
            let content = TicketUsed {
                ticket_id: ticket.ticket_id.to_string(),
                event_id: ticket.event_id.to_string(),
                account_id: ticket.account_id.to_string(),
                gate: gate.to_string(),
                at_us: now.micros(),
            };
            let told = (TICKET_EVENTS, NAME, "ticket.used");
            let message =
                Envelope::new(told, ticket.event_id, &content, &context, (&*desk.ids, now))?;
            desk.outbox.append(tx, &[message]).await?;
            Ok(ticket)
        })
    });
    used.await
}

/// Who did it, for the history.
pub(super) fn actor(caller: &Caller) -> String {
    match caller {
        Caller::Account { id, .. } => id.to_string(),
        Caller::Service(name) => name.clone(),
        Caller::Anonymous => "anonymous".to_owned(),
    }
}
