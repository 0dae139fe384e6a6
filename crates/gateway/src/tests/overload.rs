//! Overload: who is refused, how, and who never is.

use std::sync::Arc;

use axum::http::Method;
use kernel::Role;
use serde_json::json;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, yield_now},
};

use super::{
    document::AGREED,
    world::{Answer, Ask, ID, World, defaults},
};
use crate::{Config, overload::Class};

const OPEN: &str = "BookingService/OpenBooking";

/// A gateway with room for four requests of a class.
fn narrow() -> Config {
    Config { overload_least: 4, overload_most: 4, ..defaults() }
}

fn booking(token: &str) -> Ask {
    let wanted = json!({"event_id": ID, "choice": {"best_available": {"quantity": 2}}});
    Ask::post("/api/v1/bookings", &wanted).by(token).once()
}

/// So many who ask at once of a service that answers none of them yet.
async fn crowd(config: Config, count: usize) -> (Arc<World>, Arc<Semaphore>, JoinSet<Answer>) {
    let world = Arc::new(World::with(config).await);
    let permits = world.stall(OPEN);
    let mut asking = JoinSet::new();
    for _ in 0..count {
        let (world, token) = (world.clone(), world.token(Role::Individual));
        asking.spawn(async move { booking(&token).to(&world).await });
    }
    (world, permits, asking)
}

async fn arrive(world: &World, count: usize) {
    while world.arrived() < count {
        yield_now().await;
    }
}

async fn metrics(world: &World) -> String {
    String::from_utf8(Ask::get("/metrics").to(world).await.body.to_vec()).unwrap()
}

#[tokio::test]
async fn who_finds_no_room_is_refused_at_once_and_told_when_to_come_again() {
    let (world, permits, mut asking) = crowd(narrow(), 6).await;
    for _ in 0..2 {
        let refused = asking.join_next().await.unwrap().unwrap();
        refused.refused(503, "OVERLOADED");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=2).contains(&seconds), "{seconds}");
        assert_eq!(refused.header("ratelimit-limit"), "", "nothing was counted");
    }
    arrive(&world, 4).await;
    let told = metrics(&world).await;
    for line in [
        r#"gateway_admitted_in_flight{class="book"} 4"#,
        r#"gateway_admission_limit{class="book"} 4"#,
        r#"gateway_refused_overload_total{class="book"} 2"#,
        r#"gateway_refused_overload_total{class="finish"} 0"#,
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    booking("a guess").to(&world).await.refused(503, "OVERLOADED");

    permits.add_permits(5);
    while let Some(answer) = asking.join_next().await {
        answer.unwrap().expect(201);
    }
    booking(&world.token(Role::Individual)).to(&world).await.expect(201);
    assert!(metrics(&world).await.contains(r#"gateway_admitted_in_flight{class="book"} 0"#));
}

/// The twin: without the guard, all of them weigh on the service.
#[tokio::test]
async fn without_protection_everybody_arrives() {
    let config = Config { overload_protection: false, ..narrow() };
    let (world, permits, mut asking) = crowd(config, 6).await;
    arrive(&world, 6).await;
    assert!(metrics(&world).await.contains(r#"gateway_admitted_in_flight{class="book"} 6"#));
    permits.add_permits(6);
    while let Some(answer) = asking.join_next().await {
        answer.unwrap().expect(201);
    }
}

#[tokio::test]
async fn who_has_begun_goes_on_and_other_classes_have_room_of_their_own() {
    let (world, _permits, mut asking) = crowd(narrow(), 5).await;
    asking.join_next().await.unwrap().unwrap().refused(503, "OVERLOADED");
    let token = world.token(Role::Individual);
    let mine = format!("/api/v1/bookings/{ID}");
    for _ in 0..20 {
        Ask::get(&mine).by(&token).to(&world).await.expect(200);
        Ask::post(&format!("{mine}/cancel"), &json!({}))
            .by(&token)
            .once()
            .to(&world)
            .await
            .expect(200);
        Ask::post("/webhooks/payment/stripe", &json!({})).to(&world).await.expect(200);
        Ask::get("/api/v1/events").to(&world).await.expect(200);
        Ask::get("/health").to(&world).await.expect(200);
    }
}

#[tokio::test]
async fn who_leaves_makes_room() {
    let (world, permits, mut asking) = crowd(narrow(), 4).await;
    arrive(&world, 4).await;
    let token = world.token(Role::Individual);
    booking(&token).to(&world).await.refused(503, "OVERLOADED");
    asking.shutdown().await;
    permits.add_permits(1);
    booking(&token).to(&world).await.expect(201);
}

#[tokio::test]
async fn a_page_that_is_refused_comes_again_by_itself() {
    let world = Arc::new(World::with(narrow()).await);
    let _permits = world.stall("EventService/ListEvents");
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        let world = world.clone();
        asking.spawn(async move { Ask::get("/api/v1/events").to(&world).await });
    }
    arrive(&world, 4).await;
    let page = Ask::get("/").header("accept", "text/html,*/*").to(&world).await;
    assert_eq!(page.status.as_u16(), 503);
    assert!(page.body.starts_with(b"<!doctype html>"), "{page:?}");
    assert_eq!(page.header("refresh"), page.header("retry-after"));
    assert_eq!(page.header("cache-control"), "no-store");
    Ask::get("/").to(&world).await.refused(503, "OVERLOADED");
    let api = Ask::get("/api/v1/events").header("accept", "text/html").to(&world).await;
    api.refused(503, "OVERLOADED");
}

#[test]
fn every_route_is_of_a_class() {
    let of = |class: Class| {
        let route = |operation: &&'static str| {
            let (method, path) = operation.split_once(' ').unwrap();
            Class::of(&Method::from_bytes(method.as_bytes()).unwrap(), path) == class
        };
        AGREED.iter().map(|(operation, _)| *operation).filter(route).collect::<Vec<_>>()
    };
    assert_eq!(of(Class::Book), ["POST /api/v1/bookings"]);
    assert_eq!(of(Class::Hold), ["PUT /api/v1/holds/{hold_id}"]);
    assert_eq!(of(Class::Join), ["POST /api/v1/events/{event_id}/queue"]);
    assert_eq!(of(Class::Finish).len(), 22, "each of those that are named exists");
    let begun = ["GET /api/v1/bookings/{booking_id}", "POST /webhooks/payment/{provider}"];
    assert!(begun.iter().all(|route| of(Class::Finish).contains(route)));
    assert_eq!(of(Class::Look), ["GET /api/v1/events/{event_id}/availability"]);
    assert!(of(Class::Read).contains(&"GET /api/v1/events/{event_id}"));
    assert!(of(Class::Write).contains(&"POST /api/v1/auth/login"));
    assert_eq!(Class::of(&Method::GET, ""), Class::Read, "pages");
}
