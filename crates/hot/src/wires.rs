//! What goes over wires: requests, events, failures.

use axum::response::IntoResponse;
use kernel::{AccountId, Choice, Code, EventId, Failure, FieldError};
use platform::{
    bus::{Envelope, TICKET_EVENTS},
    http::Problem,
};
use prost::Message;
use wire::{
    Context,
    pb::{
        booking::v1::OpenBookingRequest,
        ticket::v1::{Place, SeatsChanged},
    },
};

use crate::{NOON, Once, seeded};

/// An event for the outbox: its message as JSON, its envelope.
pub(crate) fn envelope() -> Once {
    let ids = seeded();
    let context = Context::service("ticket");
    let event_id = EventId::new(&ids, NOON);
    let told = SeatsChanged {
        event_id: event_id.to_string(),
        places: ["stalls-7-12", "stalls-7-13"].map(place).to_vec(),
        available: 1_998,
        ..SeatsChanged::default()
    };
    Box::new(move || {
        let names = (TICKET_EVENTS, "ticket", "seats.held");
        let made = Envelope::new(names, event_id, &told, &context, (&ids, NOON));
        made.map_or(0, |made| made.content.len() as u64)
    })
}

fn place(seat: &str) -> Place {
    let (section, category) = ("stalls".to_owned(), "one".to_owned());
    Place { section, seat: seat.to_owned(), category, ..Place::default() }
}

/// A refusal as a gRPC status, and read from it.
pub(crate) fn status() -> Once {
    let refusal = Failure {
        fields: vec![FieldError { field: "seats[1]".to_owned(), detail: "is taken".to_owned() }],
        ..Failure::new(Code::Conflict, "SEAT_TAKEN", "somebody was quicker")
    };
    let refusal = refusal.with("free", 12).retry_after(1_500);
    Box::new(move || {
        let read = wire::failure(&wire::status(refusal.clone()));
        read.detail.len() as u64 + read.retry_after_ms.unwrap_or_default()
    })
}

/// A request for a booking: written, read, checked.
pub(crate) fn request() -> Once {
    let ids = seeded();
    let request = OpenBookingRequest {
        event_id: EventId::new(&ids, NOON).to_string(),
        choice: Some(wire::to_choice(&Choice::BestAvailable {
            quantity: 3,
            section: Some("stalls".to_owned()),
            category: None,
            wheelchair: 0,
        })),
        idempotency_key: "a key of a client, as long as they are".to_owned(),
        admission_token: String::new(),
        account_id: AccountId::new(&ids, NOON).to_string(),
        hold_id: String::new(),
    };
    Box::new(move || {
        let bytes = request.encode_to_vec();
        let read = OpenBookingRequest::decode(bytes.as_slice()).unwrap_or_default();
        let event_id = wire::id::<EventId>("event_id", &read.event_id);
        let choice = wire::choice(read.choice.as_ref());
        let checked = event_id.and(choice);
        checked.map_or(0, |choice| u64::from(choice.quantity()) + bytes.len() as u64)
    })
}

/// A refusal as an HTTP answer.
pub(crate) fn problem() -> Once {
    let refusal =
        Failure::new(Code::Conflict, "SEAT_TAKEN", "somebody was quicker").with("free", 12);
    Box::new(move || {
        let answer = Problem(refusal.clone()).into_response();
        u64::from(answer.status().as_u16()) + answer.headers().len() as u64
    })
}
