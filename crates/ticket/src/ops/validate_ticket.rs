//! Says whether a code would be let in, and changes nothing. For the event's organization.

use kernel::{EventId, Failure, Timestamp};
use wire::Context;

use crate::{
    app::App,
    code::Code,
    domain::ticket::{self, Input, Refusal, Ticket},
    error::Error,
    store::tickets,
};

/// The code, and the door.
#[derive(Debug)]
pub struct ValidateTicket {
    /// What the QR code holds.
    pub code: String,
    /// The event at whose door this is.
    pub event_id: EventId,
}

/// Whether it would be let in.
#[derive(Debug)]
pub struct Validation {
    /// Why not; none if it would.
    pub refusal: Option<Error>,
    /// The ticket, if it is one of this event.
    pub ticket: Option<Ticket>,
}

/// Says whether a code would be let in.
///
/// # Errors
/// `FORBIDDEN` if the event is another organization's.
pub async fn validate_ticket(
    app: &App,
    context: &Context,
    command: ValidateTicket,
) -> Result<Validation, Error> {
    guard_door(app, context, command.event_id).await?;
    let refused = |refusal| Ok(Validation { refusal: Some(refusal), ticket: None });
    let code = match read_code(app, &command.code, command.event_id).await {
        Ok(code) => code,
        Err(error @ (Error::Db(_) | Error::Failure(_))) => return Err(error),
        Err(refusal) => return refused(refusal),
    };
    let ticket_id = code.ticket_id;
    let found = app.db.read(move |tx| Box::pin(async move { tickets::find(tx, ticket_id).await }));
    let found: Result<_, db::Error> = found.await;
    let Some(ticket) = found? else { return refused(unknown()) };
    Ok(Validation { refusal: judge(&ticket, command.event_id).err(), ticket: Some(ticket) })
}

/// Lets through only those who work at this event's door.
pub(super) async fn guard_door(
    app: &App,
    context: &Context,
    event_id: EventId,
) -> Result<(), Error> {
    // Who is nobody's organization learns nothing, not even whether there is such an event.
    if !context.caller.is_operator() {
        context.caller.account()?;
    }
    let room = app.maps.room(event_id).await?;
    if context.caller.may_act_for_organization(room.inventory.organization_id) {
        return Ok(());
    }
    Err(Failure::forbidden("for the event's organization only").into())
}

/// What a code says, if it is good now and for this event.
pub(super) async fn read_code(app: &App, text: &str, event_id: EventId) -> Result<Code, Error> {
    let code = app.keys.verify(text).await?;
    if code.event_id != event_id {
        return Err(Error::EventMismatch);
    }
    check_time(&code, app.now())?;
    Ok(code)
}

fn check_time(code: &Code, now: Timestamp) -> Result<(), Error> {
    if code.valid_until < now {
        return Err(Error::InvalidTicket(format!("was good until {}", code.valid_until)));
    }
    Ok(())
}

/// Whether a ticket may be let in at this event's door.
pub(super) fn judge(ticket: &Ticket, event_id: EventId) -> Result<(), Error> {
    if ticket.event_id != event_id {
        return Err(Error::EventMismatch);
    }
    match ticket::step(ticket.status, Input::Use) {
        Ok(_) => Ok(()),
        Err(Refusal::Used) => {
            let (at, gate) = ticket.used.clone().unwrap_or_default();
            Err(Error::AlreadyUsed { at, gate })
        }
        Err(Refusal::Void(status)) => Err(Error::CancelledTicket(status)),
    }
}

/// A code that was signed for a ticket which is not there.
pub(super) fn unknown() -> Error {
    Error::InvalidTicket("no such ticket".to_owned())
}
