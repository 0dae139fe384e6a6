//! What comes in: headers, bodies, queries and paths that are wrong are refused by name, before
//! any service is asked.

use axum::http::Method;
use kernel::Role;
use serde_json::{Value, json};
use wire::pb::{
    booking::v1::OpenBookingRequest,
    event::v1::{ListEventsRequest, UpdateEventRequest},
    kernel::v1::choice::{Seats, Wish},
    payment::v1::ProcessWebhookRequest,
    user::v1::UpdateProfileRequest,
};

use super::world::{Answer, Ask, ID, World};

fn booking() -> Value {
    json!({"event_id": ID, "choice": {"seats": ["stalls/C/12"]}})
}

#[tokio::test]
async fn what_moves_money_or_places_needs_an_idempotency_key() {
    let world = World::new().await;
    let token = world.token(Role::Individual);
    let cancel = format!("/api/v1/bookings/{ID}/cancel");
    let routes = [("/api/v1/bookings", booking()), (&cancel, json!({"reason": "ill"}))];
    let too_long = "k".repeat(256);
    for (path, body) in &routes {
        let answer = Ask::post(path, body).by(&token).to(&world).await;
        assert_eq!(answer.wrong_fields(), ["Idempotency-Key"], "{path}: missing");
        for key in ["", " ", "\t", "kéy", "a\tb", &too_long] {
            let ask = Ask::post(path, body).by(&token).header("idempotency-key", key);
            let answer = ask.to(&world).await;
            assert_eq!(answer.wrong_fields(), ["Idempotency-Key"], "{path}: {key:?}");
        }
    }
    assert!(world.calls().is_empty());

    for key in ["k", "0190a0a0-0000-7000-8000-000000000009", "a b/~!", &too_long[1..]] {
        let ask = Ask::post("/api/v1/bookings", &booking()).header("idempotency-key", key);
        ask.by(&token).to(&world).await.expect(201);
        let request: OpenBookingRequest = world.call().message();
        assert_eq!(request.idempotency_key, key);
        let seats = Seats { seats: vec!["stalls/C/12".to_owned()] };
        assert_eq!(request.choice.unwrap().wish, Some(Wish::Seats(seats)));
        assert_eq!(request.account_id, "", "nobody books for another");
    }
}

#[tokio::test]
async fn an_edit_takes_the_version_that_was_read() {
    let world = World::new().await;
    let token = world.token(Role::Organization);
    let event = format!("/api/v1/events/{ID}");
    let edit = |path: &str, tag: &str| {
        let ask = Ask::patch(path, &json!({})).by(&token);
        if tag.is_empty() { ask } else { ask.header("if-match", tag) }
    };
    let read = Ask::get("/api/v1/users/me/profile").by(&token).to(&world).await;
    let tag = read.header("etag");
    assert_eq!((tag, &read.expect(200)["version"]), ("\"3\"", &json!(3)));
    world.calls();

    for (sent, version) in [(tag, 3), ("", 0), ("*", 0), (" \"12\" ", 12), ("7", 7)] {
        edit("/api/v1/users/me/profile", sent).to(&world).await.expect(200);
        assert_eq!(world.call().message::<UpdateProfileRequest>().version, version, "{sent}");
        edit(&event, sent).to(&world).await.expect(200);
        let request: UpdateEventRequest = world.call().message();
        assert_eq!((request.version, &*request.event_id), (version, ID), "{sent}");
    }
    let huge = "\"99999999999999999999\"";
    for tag in ["\"abc\"", "\"0\"", "\"-1\"", "W/\"3\"", "\"1\", \"2\"", huge, "\"\"", "é"] {
        for path in ["/api/v1/users/me/profile", &event] {
            assert_eq!(edit(path, tag).to(&world).await.wrong_fields(), ["If-Match"], "{tag}");
        }
    }
    assert!(world.calls().is_empty());
}

async fn post(world: &World, path: &str, body: &str) -> Answer {
    let ask = Ask::new(Method::POST, path).header("content-type", "application/json");
    ask.body(body.to_owned()).once().by(&world.token(Role::Organization)).to(world).await
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_naming_the_field() {
    let world = World::new().await;
    let venue = r#"{"name":"n","address":"a","city":"c","country":"DE","time_zone":"UTC","plan":"#;
    let section = r#"{"key":"a","name":"A","kind":"standing","category":"x"}"#;
    let venue = format!("{venue}{{\"sections\":[{section}]}}}}");
    let price = r#","name":"n","kind":"other","ends_at":"2030-01-01T00:00:00Z","currency":"EUR""#;
    let event = |rest: &str| format!(r#"{{"venue_id":"v"{price},{rest}}}"#);
    let late = event(r#""starts_at":"tomorrow","categories":[]"#);
    let cheap = r#""starts_at":"2030-01-01T00:00:00Z","categories":[{"key":"a","name":"A""#;
    let cheap = event(&format!("{cheap},\"price_minor\":1.5}}]"));
    let wrong = [
        ("/api/v1/auth/login", "{}", "email"),
        ("/api/v1/auth/login", r#"{"email":"e"}"#, "password"),
        ("/api/v1/auth/login", r#"{"email":"e","password":null}"#, "password"),
        ("/api/v1/auth/login", r#"{"email":"e","password":"p","admin":true}"#, "admin"),
        ("/api/v1/auth/login", "[]", "body"),
        ("/api/v1/auth/login", "null", "body"),
        ("/api/v1/auth/login", "\"text\"", "body"),
        ("/api/v1/bookings", r#"{"event_id":"e"}"#, "choice"),
        ("/api/v1/bookings", r#"{"event_id":"e","choice":{}}"#, "choice"),
        (
            "/api/v1/bookings",
            r#"{"event_id":"e","choice":{"seats":[],"admissions":{"section":"s","quantity":1}}}"#,
            "choice",
        ),
        ("/api/v1/bookings", r#"{"event_id":"e","choice":"best"}"#, "choice"),
        ("/api/v1/bookings", r#"{"event_id":"e","choice":{"boxes":1}}"#, "choice.boxes"),
        ("/api/v1/bookings", r#"{"event_id":"e","choice":{"seats":[]}}"#, "choice"),
        ("/api/v1/bookings", r#"{"event_id":"e","choice":{"seats":[7]}}"#, "choice.seats[0]"),
        ("/api/v1/bookings", r#"{"event_id":"e","choice":{"seats":["C 7"]}}"#, "choice.seats[0]"),
        (
            "/api/v1/bookings",
            r#"{"event_id":"e","choice":{"admissions":{"section":"s","quantity":-1}}}"#,
            "choice.admissions.quantity",
        ),
        ("/api/v1/bookings", r#"{"event_id":"e","choice":{},"account_id":"a"}"#, "choice"),
        ("/api/v1/venues", &venue, "plan.sections[0].kind"),
        ("/api/v1/events", &late, "starts_at"),
        ("/api/v1/events", &cheap, "categories[0].price_minor"),
        (&format!("/api/v1/events/{ID}/queue"), r#"{"wish":{"seats":[]}}"#, "choice"),
        ("/api/v1/tickets/use", r#"{"code":1,"event_id":"e"}"#, "code"),
    ];
    for (path, body, field) in wrong {
        let answer = post(&world, path, body).await;
        assert_eq!(answer.wrong_fields(), [field], "{path} {body}: {answer:?}");
    }
    let twice = r#"{"email":"e","password":"p"} {}"#;
    for body in ["", "{", "{\"email\":", twice, "email=a", "{\"email\":NaN}", "\u{0}"] {
        post(&world, "/api/v1/auth/login", body).await.refused(400, "MALFORMED_JSON");
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(r#"{{"preferences":{deep}}}"#);
    let profile = Ask::new(Method::PATCH, "/api/v1/users/me/profile").body(deep);
    let profile = profile.header("content-type", "application/json");
    let answer = profile.by(&world.token(Role::Individual)).to(&world).await;
    answer.refused(400, "MALFORMED_JSON");
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_body_of_another_kind_or_without_end_is_not_read() {
    let world = World::new().await;
    let path = "/api/v1/auth/login";
    let body = json!({"email": "e", "password": "p"}).to_string();
    let send = |kind: &str, body: &str| {
        let ask = Ask::new(Method::POST, path).body(body.to_owned());
        if kind.is_empty() { ask } else { ask.header("content-type", kind) }
    };
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "text/json", "json"] {
        let answer = send(kind, &body).to(&world).await;
        answer.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let long = json!({"email": "e", "password": "p".repeat(1 << 20)}).to_string();
    send("application/json", &long).to(&world).await.refused(413, "PAYLOAD_TOO_LARGE");
    let webhook = Ask::new(Method::POST, "/webhooks/payment/stripe").body(long);
    webhook.to(&world).await.refused(413, "PAYLOAD_TOO_LARGE");
    assert!(world.calls().is_empty());
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/a+json"] {
        send(kind, &body).to(&world).await.expect(200);
    }
}

#[tokio::test]
async fn queries_and_paths_are_read_strictly() {
    let world = World::new().await;
    let token = world.token(Role::Admin);
    let wrong = [
        ("/api/v1/events?limits=1", "limits"),
        ("/api/v1/events?limit=-1", "limit"),
        ("/api/v1/events?limit=many", "limit"),
        ("/api/v1/events?limit=99999999999", "limit"),
        ("/api/v1/events?mine=1", "mine"),
        ("/api/v1/bookings?page=2", "page"),
        ("/api/v1/admin/mails?from=a", "from"),
        (&format!("/api/v1/events/{ID}/availability?counts_only=maybe"), "counts_only"),
        ("/api/v1/events/%FF", "event_id"),
    ];
    for (path, field) in wrong {
        let answer = Ask::get(path).by(&token).to(&world).await;
        assert_eq!(answer.wrong_fields(), [field], "{path}");
    }
    assert!(world.calls().is_empty());
    let path = "/api/v1/events?query=%C3%A4%20%26+b&limit=7&cursor=c%2F1&mine=true";
    Ask::get(path).by(&token).to(&world).await.expect(200);
    let request: ListEventsRequest = world.call().message();
    assert_eq!((&*request.query, request.mine), ("ä & b", true));
    let page = request.page.unwrap();
    assert_eq!((page.limit, &*page.cursor), (7, "c/1"));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let world = World::new().await;
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/events", "/api/v1/events/", "//"] {
        Ask::get(path).to(&world).await.refused(404, "NOT_FOUND");
    }
    for (method, path) in [
        (Method::DELETE, "/api/v1/events"),
        (Method::PUT, "/api/v1/bookings"),
        (Method::GET, "/api/v1/auth/login"),
        (Method::GET, "/webhooks/payment/stripe"),
        (Method::POST, "/.well-known/jwks.json"),
    ] {
        let answer = Ask::new(method, path).to(&world).await;
        answer.refused(405, "METHOD_NOT_ALLOWED");
        assert!(!answer.header("allow").is_empty(), "{answer:?}");
    }
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_webhook_goes_on_as_it_came() {
    let world = World::new().await;
    let body: Vec<u8> = (0..=255).chain(b"{\"a\" :  1}\r\n\xff".iter().copied()).collect();
    let ask = Ask::new(Method::POST, "/webhooks/payment/stripe").body(body.clone());
    let ask = ask.header("stripe-signature", "t=1,v1=abc").header("x-correlation-id", "evt-1");
    let answer = ask.header("authorization", "Bearer of the provider").to(&world).await;
    assert_eq!(answer.expect(200), json!({"processed": false}));
    let call = world.call();
    assert_eq!(&*call.context.correlation_id, "evt-1");
    let request: ProcessWebhookRequest = call.message();
    assert_eq!((&*request.provider, &*request.signature), ("stripe", "t=1,v1=abc"));
    assert_eq!(request.body, body);

    Ask::post("/webhooks/payment/stripe", &json!({})).to(&world).await.expect(200);
    assert_eq!(world.call().message::<ProcessWebhookRequest>().signature, "");
    let unknown = Ask::post("/webhooks/payment/paypal", &json!({})).to(&world).await;
    unknown.refused(404, "NOT_FOUND");
    assert!(world.calls().is_empty());
}
