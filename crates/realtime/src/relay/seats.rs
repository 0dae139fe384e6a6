//! Changes of places as messages, and back.

use kernel::EventId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Post;
use crate::domain::{Change, Changed, Gathered, Room, Spot};

const KINDS: [(Change, &str); 3] = [
    (Change::Reserved, "ticket:reserved"),
    (Change::Released, "ticket:released"),
    (Change::Sold, "ticket:sold"),
];

#[derive(Deserialize)]
struct Payload {
    places: Vec<PlaceText>,
    available: i64,
}

#[derive(Deserialize)]
struct PlaceText {
    section: String,
    seat: Option<String>,
    quantity: Option<u32>,
}

/// The message that tells of one change.
pub(crate) fn post(event: EventId, changed: &Changed) -> Post {
    let known = KINDS.iter().find(|(change, _)| *change == changed.change);
    let kind = known.map_or("", |(_, kind)| kind);
    one(event, kind, &changed.spots, changed.available)
}

/// The change that a message tells of, if it is such a message.
pub(super) fn changed(post: &Post) -> Option<Changed> {
    let (change, _) = KINDS.iter().find(|(_, kind)| *kind == post.kind)?;
    let Payload { places, available } = serde_json::from_str(&post.payload).ok()?;
    let spots = places.into_iter().map(|place| Spot {
        section: place.section,
        seat: place.seat,
        quantity: place.quantity.unwrap_or(1),
    });
    Some(Changed { change: *change, spots: spots.collect(), available })
}

/// The messages that tell of all that was gathered: one for each kind of change, and what is free.
pub(super) fn posts(event: EventId, gathered: &Gathered) -> Vec<Post> {
    let available = gathered.available();
    let changes = KINDS.iter().map(|(change, kind)| (gathered.spots(*change), kind));
    let changes = changes.filter(|(spots, _)| !spots.is_empty());
    let mut posts: Vec<_> =
        changes.map(|(spots, kind)| one(event, kind, &spots, available)).collect();
    let payload = json!({ "event_id": event.to_string(), "available": available });
    posts.push(Post {
        room: Room::Event(event),
        kind: "ticket:availability".to_owned(),
        payload: payload.to_string(),
    });
    posts
}

fn one(event: EventId, kind: &str, spots: &[Spot], available: i64) -> Post {
    let places = spots.iter().map(|Spot { section, seat, quantity }| match seat {
        Some(seat) => json!({ "section": section, "seat": seat }),
        None => json!({ "section": section, "quantity": quantity }),
    });
    let places: Vec<Value> = places.collect();
    let event_id = event.to_string();
    let payload = json!({ "event_id": event_id, "places": places, "available": available });
    Post { room: Room::Event(event), kind: kind.to_owned(), payload: payload.to_string() }
}
