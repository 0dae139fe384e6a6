//! The one call to ticket-service: opening the inventory that an event's tickets are sold from.

use kernel::{Caller, Code, Failure};
use wire::{
    Context,
    pb::ticket::v1::{OpenInventoryRequest, client::TicketServiceClient},
};

use crate::{
    NAME,
    app::App,
    domain::{Event, Plan},
    events,
};

/// Opens the event's inventory. Keyed by the event: repeating it changes nothing.
///
/// # Errors
/// If ticket-service can't be reached. That it refuses a plan that was checked here is our fault.
pub(crate) async fn open(
    app: &App,
    context: &Context,
    event: &Event,
    plan: &Plan,
) -> Result<(), Failure> {
    let own = context.acting_as(Caller::Service(NAME.to_owned()));
    let request = OpenInventoryRequest {
        event_id: event.id.to_string(),
        organization_id: event.organization.to_string(),
        plan: Some(events::to_plan(plan)),
        // The event's own limit is a term of sale, told with each quote, and may still change.
        max_per_hold: kernel::MAX_PLACES,
        ends_at_us: event.terms.ends_at.micros(),
    };
    let mut client = TicketServiceClient::new(app.ticket.with(&own));
    match client.open_inventory(request).await {
        Ok(_) => Ok(()),
        Err(status) => {
            let failure = wire::failure(&status);
            match failure.code {
                Code::Unavailable | Code::Deadline | Code::Exhausted => Err(failure),
                _ => Err(Failure::internal(format!("inventory not opened: {failure}"))),
            }
        }
    }
}
