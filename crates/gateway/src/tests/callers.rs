//! Who asks: the token is verified once, here, and the services learn who it was.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Caller, Clock, Role};
use serde_json::{Value, json};

use super::world::{Answer, Ask, ID, World, new_key};

fn unauthenticated(answer: &Answer) {
    answer.refused(401, "UNAUTHENTICATED");
    assert_eq!(answer.header("www-authenticate"), "Bearer", "{answer:?}");
}

/// A token of these parts.
fn token(header: &Value, payload: &str, signature: &str) -> String {
    format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn the_services_learn_who_asks_and_what_travels_with_it() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let world = World::new().await;
    for role in [Role::Admin, Role::Organization, Role::Individual] {
        let ask = Ask::get("/api/v1/bookings").by(&world.token(role));
        let ask = ask.header("x-correlation-id", "mine-1").header("traceparent", TRACE);
        let answer = ask.to(&world).await;
        answer.expect(200);
        assert_eq!(answer.header("x-correlation-id"), "mine-1");
        let call = world.call();
        assert_eq!(call.context.caller, world.caller(role));
        assert_eq!(&*call.context.correlation_id, "mine-1");
        assert_eq!(call.context.traceparent.as_deref(), Some(TRACE));
        assert!(call.context.deadline.is_some(), "an answer is of no use for ever");
    }
    let answer = Ask::get("/api/v1/events").to(&world).await;
    answer.expect(200);
    let call = world.call();
    assert_eq!(call.context.caller, Caller::Anonymous);
    assert_eq!(&*call.context.correlation_id, answer.header("x-correlation-id"));
    assert!(!answer.header("x-correlation-id").is_empty(), "made where none came");
}

#[tokio::test]
async fn a_token_that_is_no_good_is_refused_on_every_route_and_nobody_is_asked() {
    let world = World::new().await;
    let good = world.token(Role::Admin);
    let parts: Vec<_> = good.split('.').collect();
    let (payload, signature) = (parts[1], parts[2]);
    let header = |alg: &str| json!({"alg": alg, "kid": "one", "typ": "JWT"});
    let raised = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let raised: Value = serde_json::from_slice(&raised).unwrap();
    let raised = json!({"sub": ID, "exp": 4_102_444_800_i64, "iss": "boxoffice",
        "sid": raised["sid"], "iat": raised["iat"], "role": "admin"});
    let raised = URL_SAFE_NO_PAD.encode(raised.to_string());
    let claims = world.claims(Role::Admin);
    let forged = new_key("one").sign(&claims, world.clock.now()).unwrap();
    let stranger = new_key("two").sign(&claims, world.clock.now()).unwrap();
    let bad = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer null".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Basic YWRtaW46YWRtaW4=".to_owned(),
        good.clone(),
        format!("Bearer {good} {good}"),
        format!("Bearer {}", &good[..good.len() - 2]),
        format!("Bearer {}", token(&header("none"), payload, "")),
        format!("Bearer {}", token(&header("HS256"), payload, signature)),
        format!("Bearer {}", token(&header("EdDSA"), &raised, signature)),
        format!("Bearer {forged}"),
        format!("Bearer {stranger}"),
        format!("Bearer {}", "x".repeat(5_000)),
        "Bearer ümläut".to_owned(),
    ];
    for authorization in &bad {
        for path in ["/api/v1/bookings", "/api/v1/events", "/api/v1/settings"] {
            let answer = Ask::get(path).header("authorization", authorization).to(&world).await;
            unauthenticated(&answer);
        }
    }
    assert!(world.calls().is_empty());

    let spelled = Ask::get("/api/v1/bookings").header("authorization", &format!("bearer {good}"));
    spelled.to(&world).await.expect(200);
    world.clock.advance(Duration::from_secs(901));
    unauthenticated(&Ask::get("/api/v1/bookings").by(&good).to(&world).await);
    assert_eq!(world.calls().len(), 1, "the expired token reached nobody");
}

#[tokio::test]
async fn nobody_names_himself_in_a_header() {
    let world = World::new().await;
    let service = "eyJzZXJ2aWNlIjoiYm9va2luZyJ9.c2lnbmF0dXJl";
    for name in ["x-boxoffice-caller", "x-forwarded-user", "x-account-id"] {
        Ask::get("/api/v1/events").header(name, service).to(&world).await.expect(200);
        assert_eq!(world.call().context.caller, Caller::Anonymous, "{name}");
    }
}

#[tokio::test]
async fn what_does_not_depend_on_who_asks_does_not_look() {
    let world = World::new().await;
    let jwks = Ask::get("/.well-known/jwks.json").by("of an older deployment").to(&world).await;
    assert_eq!(jwks.expect(200), json!({"keys": []}));
    assert_eq!(jwks.header("content-type"), "application/json");
    assert_eq!(world.call().context.caller, Caller::Anonymous);
    assert_eq!(Ask::get("/").to(&world).await.body, "a page", "pages are the binary's");
    for face in ["/health", "/ready", "/metrics"] {
        assert_eq!(Ask::get(face).to(&world).await.status, 200, "{face}");
    }
}
