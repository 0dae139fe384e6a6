//! What goes out: the services' failures as problems, pages with their links, and the shapes.

use kernel::{Code, Failure, FieldError, Role};
use serde_json::{Value, json};
use wire::pb::{
    booking::v1::{Booking, BookingStatus, ListBookingsResponse, PaymentStatus, booking::Line},
    event::v1::ListEventsResponse,
    kernel::v1::Money,
    ticket::v1::{Availability, Place, Ticket, availability::SectionAvailability},
};

use super::world::{Answer, Ask, ID, World};

const HISTORY: &str = "BookingService/GetHistory";

async fn failing(failure: Failure) -> Answer {
    let world = World::new().await;
    world.fail(HISTORY, failure);
    let path = format!("/api/v1/bookings/{ID}/history");
    Ask::get(&path).by(&world.token(Role::Individual)).to(&world).await
}

#[tokio::test]
async fn every_kind_of_failure_has_its_status() {
    let statuses = [
        (Code::Invalid, 400),
        (Code::Unauthenticated, 401),
        (Code::Forbidden, 403),
        (Code::NotFound, 404),
        (Code::Conflict, 409),
        (Code::Stale, 412),
        (Code::Exhausted, 429),
        (Code::Unavailable, 503),
        (Code::Deadline, 504),
    ];
    for (code, status) in statuses {
        let failure = Failure::new(code, "AS_SAID", "as said").with("free", 3);
        let answer = failing(failure.retry_after(2_500)).await;
        let problem = answer.refused(status, "AS_SAID");
        assert_eq!(problem["detail"], "as said");
        assert_eq!(problem["type"], "urn:boxoffice:problem:AS_SAID");
        assert_eq!(problem["metadata"], json!({"free": "3"}));
        assert_eq!(answer.header("retry-after"), "3", "whole seconds, and never too early");
    }
    let mut wrong = Failure::invalid("choice.seats[1]", "no such seat");
    wrong.fields.push(FieldError { field: "event_id".into(), detail: "is required".into() });
    let answer = failing(wrong).await;
    assert_eq!(answer.wrong_fields(), ["choice.seats[1]", "event_id"]);
    let unavailable = failing(Failure::new(Code::Unavailable, "CIRCUIT_OPEN", "a pause")).await;
    assert_eq!(unavailable.header("retry-after"), "1", "there is always a hint");
}

#[tokio::test]
async fn no_internal_text_leaves_the_house() {
    let secret = "connection to 10.0.0.5:5432 as postgres refused";
    for (failure, status, code) in [
        (Failure::internal(secret), 500, "INTERNAL"),
        (Failure::unavailable(secret), 503, "UNAVAILABLE"),
    ] {
        let answer = failing(failure).await;
        answer.refused(status, code);
        assert!(!String::from_utf8_lossy(&answer.body).contains("postgres"), "{answer:?}");
    }
    // A service that answers nonsense is a fault of ours as well.
    let world = World::new().await;
    let profile = wire::pb::user::v1::Profile {
        preferences_json: "{ postgres".to_owned(),
        ..Default::default()
    };
    world.answer("UserService/GetProfile", &profile);
    let ask = Ask::get("/api/v1/users/me/profile").by(&world.token(Role::Individual));
    let problem = ask.to(&world).await.refused(500, "INTERNAL");
    assert_eq!(problem["detail"], "something went wrong on our side");
}

#[tokio::test]
async fn a_page_links_to_the_next_with_the_same_query() {
    let world = World::new().await;
    let token = world.token(Role::Organization);
    let next_cursor = "a/b c".to_owned();
    let events = ListEventsResponse { next_cursor: next_cursor.clone(), ..Default::default() };
    world.answer("EventService/ListEvents", &events);
    let path = "/api/v1/events?query=h%C3%A4user&mine=true&limit=5&cursor=old";
    let answer = Ask::get(path).by(&token).to(&world).await;
    assert_eq!(answer.expect(200), json!({"items": [], "next_cursor": "a/b c"}));
    let link = answer.header("link");
    let target = link.strip_prefix('<').and_then(|its| its.strip_suffix(">; rel=\"next\""));
    let target = target.unwrap_or_else(|| panic!("{link}"));
    let next = "/api/v1/events?limit=5&query=h%C3%A4user&mine=true&cursor=a%2Fb%20c";
    assert_eq!(target, next);

    world.calls();
    Ask::get(target).by(&token).to(&world).await.expect(200);
    let request: wire::pb::event::v1::ListEventsRequest = world.call().message();
    assert_eq!((&*request.query, request.mine), ("häuser", true));
    assert_eq!(request.page.unwrap().cursor, next_cursor);

    let last = Ask::get("/api/v1/bookings?limit=5").by(&token).to(&world).await;
    assert_eq!(last.expect(200), json!({"items": []}), "no cursor and no link on the last page");
    assert_eq!(last.header("link"), "");
    let bookings = ListBookingsResponse { next_cursor, ..Default::default() };
    world.answer("BookingService/ListBookings", &bookings);
    let answer = Ask::get("/api/v1/bookings").by(&token).to(&world).await;
    assert_eq!(answer.header("link"), "</api/v1/bookings?cursor=a%2Fb%20c>; rel=\"next\"");
}

/// 2026-01-01T12:00:00Z
const NOON_US: i64 = 1_767_268_800_000_000;

fn place() -> Place {
    Place {
        section: "stalls".into(),
        seat: "stalls/C/12".into(),
        category: "first".into(),
        wheelchair: true,
    }
}

#[tokio::test]
async fn a_booking_reads_as_agreed() {
    let world = World::new().await;
    let line = Line {
        category: "first".into(),
        category_name: "First".into(),
        quantity: 1,
        unit_price_minor: 1_250,
    };
    let booking = Booking {
        booking_id: ID.into(),
        status: BookingStatus::PaymentPending.into(),
        payment_status: PaymentStatus::NotRequired.into(),
        total: Some(Money { minor: 1_250, currency: "EUR".into() }),
        places: vec![place()],
        lines: vec![line],
        created_at_us: NOON_US,
        expires_at_us: NOON_US + 1,
        version: 4,
        ..Default::default()
    };
    world.answer("BookingService/GetBooking", &booking);
    let path = format!("/api/v1/bookings/{ID}");
    let answer = Ask::get(&path).by(&world.token(Role::Individual)).to(&world).await;
    let expected = json!({
        "booking_id": ID, "reference": "", "account_id": "", "event_id": "", "event_name": "",
        "status": "payment_pending", "payment_status": "not_required",
        "total": {"minor": 1_250, "currency": "EUR"},
        "places": [{"section": "stalls", "seat": "stalls/C/12", "category": "first",
            "wheelchair": true}],
        "lines": [{"category": "first", "category_name": "First", "quantity": 1,
            "unit_price_minor": 1_250}],
        "created_at": "2026-01-01T12:00:00Z", "expires_at": "2026-01-01T12:00:00.000001Z",
        "version": 4,
    });
    assert_eq!(answer.expect(200), expected, "what is not set is left out");
    assert_eq!(answer.header("etag"), "\"4\"");
}

#[tokio::test]
async fn what_is_left_is_what_is_neither_held_nor_sold() {
    let world = World::new().await;
    let section = |capacity, held, sold| SectionAvailability {
        section: "stalls".into(),
        capacity,
        held,
        sold,
        ..Default::default()
    };
    let sections = vec![section(10, 2, 3), section(1, 1, 1)];
    world.answer(
        "TicketService/GetAvailability",
        &Availability { event_id: ID.into(), sections, version: 9 },
    );
    let path = format!("/api/v1/events/{ID}/availability?counts_only=true");
    let answer = Ask::get(&path).to(&world).await.expect(200);
    let left: Vec<_> = answer["sections"].as_array().unwrap().iter().collect();
    assert_eq!((&left[0]["available"], &left[1]["available"]), (&json!(5), &json!(0)));
    let request: wire::pb::ticket::v1::GetAvailabilityRequest = world.call().message();
    assert!(request.counts_only);
}

#[tokio::test]
async fn the_code_is_drawn_for_those_who_may_see_it() {
    let world = World::new().await;
    let path = format!("/api/v1/tickets/{ID}/qr.svg");
    let token = world.token(Role::Individual);
    let answer = Ask::get(&path).by(&token).to(&world).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/svg+xml"));
    assert_eq!(answer.header("cache-control"), "private", "for no shared cache");
    assert!(answer.body.starts_with(b"<svg"), "{answer:?}");
    world.answer("TicketService/GetTicket", &Ticket { place: Some(place()), ..Default::default() });
    Ask::get(&path).by(&token).to(&world).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn clients_learn_where_else_to_go() {
    let config = crate::Config {
        realtime_url: "ws://192.0.2.1:3003/ws".into(),
        payment_publishable_key: "pk_test_1".into(),
        ..super::world::defaults()
    };
    let world = World::with(config).await;
    let settings: Value = Ask::get("/api/v1/settings").to(&world).await.expect(200);
    let payment = json!({"provider": "stripe", "publishable_key": "pk_test_1",
        "api_base": "https://api.stripe.com"});
    let expected = json!({"realtime_url": "ws://192.0.2.1:3003/ws", "payment": payment});
    assert_eq!(settings, expected);
}
