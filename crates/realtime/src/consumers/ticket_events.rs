//! `ticket-events`: whoever looks at an event sees its places go and come back. Nobody is told
//! whose they are.

use kernel::{EventId, Failure};
use platform::bus::Delivery;
use serde_json::json;
use wire::pb::ticket::v1::{SeatsChanged, TicketUsed};

use super::{some, to_account};
use crate::{
    domain::{Change, Changed, Spot},
    relay::{Post, seats},
};

pub(super) fn post(delivery: &Delivery) -> Result<Option<Post>, Failure> {
    let change = match delivery.kind.as_str() {
        "seats.held" => Change::Reserved,
        "seats.released" => Change::Released,
        "seats.sold" => Change::Sold,
        "ticket.used" => return used(delivery),
        _ => return Ok(None),
    };
    let SeatsChanged { event_id, places, available, .. } = delivery.read()?;
    let event = wire::id("event_id", &event_id)?;
    let spots = places.into_iter().map(|place| Spot {
        section: place.section,
        seat: Some(place.seat).filter(|seat| !seat.is_empty()),
        quantity: 1,
    });
    let changed = Changed { change, spots: spots.collect(), available };
    Ok(Some(seats::post(event, &changed)))
}

/// The event whose places changed, and which of its changes this is; none for other kinds, and
/// where that is not known.
pub(super) fn sequence(delivery: &Delivery) -> Result<Option<(EventId, i64)>, Failure> {
    if !delivery.kind.starts_with("seats.") {
        return Ok(None);
    }
    let SeatsChanged { event_id, sequence, .. } = delivery.read()?;
    let event = wire::id("event_id", &event_id)?;
    Ok((sequence > 0).then_some((event, sequence)))
}

fn used(delivery: &Delivery) -> Result<Option<Post>, Failure> {
    let ticket: TicketUsed = delivery.read()?;
    let payload = json!({
        "ticket_id": ticket.ticket_id,
        "event_id": ticket.event_id,
        "gate": some(&ticket.gate),
    });
    to_account(delivery, &ticket.account_id, "ticket:used", payload)
}
