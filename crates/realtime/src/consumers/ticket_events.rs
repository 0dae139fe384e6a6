//! `ticket-events`: whoever looks at an event sees its places go and come back. Nobody is told
//! whose they are.

use kernel::Failure;
use platform::bus::Delivery;
use serde_json::json;
use wire::pb::ticket::v1::{SeatsChanged, TicketUsed};

use super::{News, some, to_account};
use crate::{
    domain::{Change, Changed, Spot},
    relay::{Post, seats},
};

pub(super) fn news(delivery: &Delivery) -> Result<Option<News>, Failure> {
    let change = match &*delivery.kind {
        "seats.held" => Change::Reserved,
        "seats.released" => Change::Released,
        "seats.sold" => Change::Sold,
        "ticket.used" => return Ok(used(delivery)?.map(News::ToAccount)),
        _ => return Ok(None),
    };
    let SeatsChanged { event_id, places, available, sequence, .. } = delivery.read()?;
    let event = wire::id("event_id", &event_id)?;
    let spots = places.into_iter().map(|place| Spot {
        section: place.section,
        seat: Some(place.seat).filter(|seat| !seat.is_empty()),
        quantity: 1,
    });
    let changed = Changed { change, spots: spots.collect(), available };
    Ok(Some(News::Seats((event, sequence), seats::post(event, &changed))))
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
