//! What belongs to a system: its state outlives the process, and no other system sees it.

use serde_json::{Value, json};

use crate::system::System;

#[tokio::test(flavor = "multi_thread")]
async fn two_systems_run_side_by_side_and_know_nothing_of_each_other() {
    let (one, other) = tokio::join!(System::start(&[]), System::start(&[]));
    let (buyer, theatre) = (one.person("buyer").await, one.person("theatre").await);
    let mine = buyer.get("/api/v1/accounts/me").await.expect(200);

    let stranger = other.visitor().with_token(buyer.token.as_deref().unwrap());
    stranger.get("/api/v1/accounts/me").await.expect(401);
    other.visitor().post("/api/v1/auth/login", &one.login("buyer")).await.expect(401);
    let theirs = other.person("buyer").await.get("/api/v1/accounts/me").await.expect(200);
    assert_ne!(mine["account_id"], theirs["account_id"]);

    let venues = theatre.get("/api/v1/venues").await.expect(200);
    let venue = venues["items"][0]["venue_id"].as_str().unwrap();
    theatre.get(&format!("/api/v1/venues/{venue}")).await.expect(200);
    let path = format!("/api/v1/venues/{venue}");
    other.person("theatre").await.get(&path).await.expect(404);

    one.running.stop().await;
    other.visitor().get("/api/v1/events").await.expect(200);
    other.running.stop().await;
}

/// The items of a list.
fn items(list: &Value, key: &str) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_accounts_events_bookings_and_keys() {
    let system = System::start(&[("booking.hold_ttl_seconds", "900")]).await;
    let buyer = system.person("buyer").await;
    let events = buyer.get("/api/v1/events").await.expect(200);
    let ids = items(&events, "event_id");
    assert_eq!(ids.len(), 3, "{events}");
    let named = |name: &str| {
        let mut all = events["items"].as_array().unwrap().iter();
        let found = all.find(|its| its["name"].as_str().unwrap().contains(name));
        found.unwrap_or_else(|| panic!("{name}: {events}"))["event_id"].clone()
    };
    let seat = json!({"event_id": named("Tempest"), "choice": {"seats": ["stalls/C/12"]}});
    let held = buyer.post_once("/api/v1/bookings", "a seat", &seat).await.expect(201);
    let queue = format!("/api/v1/events/{}/queue", named("Midnight").as_str().unwrap());
    let place = buyer.post(&queue, &json!({})).await.expect(201);
    let keys = buyer.get("/api/v1/tickets/keys").await.expect(200);
    let jwks = buyer.get("/.well-known/jwks.json").await.expect(200);

    let system = system.restart().await;
    assert!(system.running.new_accounts().is_empty(), "passwords are shown once");
    let buyer = system.visitor().with_token(buyer.token.as_deref().unwrap());
    buyer.get("/api/v1/accounts/me").await.expect(200);
    system.person("buyer").await;
    assert_eq!(items(&buyer.get("/api/v1/events").await.expect(200), "event_id"), ids);
    assert_eq!(buyer.get("/api/v1/tickets/keys").await.expect(200), keys);
    assert_eq!(buyer.get("/.well-known/jwks.json").await.expect(200), jwks);

    let again = buyer.post_once("/api/v1/bookings", "a seat", &seat).await.expect(201);
    assert_eq!(again["booking_id"], held["booking_id"], "the key is remembered");
    let taken = buyer.post_once("/api/v1/bookings", "another", &seat).await.expect(409);
    assert_eq!(taken["code"], "SEAT_TAKEN", "the hold is remembered");
    let again = buyer.get(&format!("{queue}/place")).await.expect(200);
    assert_eq!(again["number"], place["number"], "the place is remembered");
    system.running.stop().await;
}
