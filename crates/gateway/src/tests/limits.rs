//! Rate limits: per account, per address, and a stricter one for signing in.

use std::time::Duration;

use kernel::Role;
use serde_json::json;

use super::world::{Ask, World, defaults};
use crate::Config;

/// Two at once and one more every second; one sign-in, and another after ten seconds.
async fn strict() -> World {
    World::with(Config {
        visitor_burst: 2,
        visitor_per_minute: 60,
        account_burst: 3,
        account_per_minute: 60,
        sign_in_burst: 1,
        sign_in_per_minute: 6,
        ..defaults()
    })
    .await
}

fn events(address: &str) -> Ask {
    Ask::get("/api/v1/events").from(address)
}

#[tokio::test]
async fn visitors_are_counted_by_address_and_told() {
    let world = strict().await;
    let first = events("192.0.2.1").to(&world).await;
    first.expect(200);
    assert_eq!(first.header("ratelimit-limit"), "2");
    assert_eq!(first.header("ratelimit-remaining"), "1");
    assert_eq!(first.header("ratelimit-reset"), "1");
    assert_eq!(events("192.0.2.1").to(&world).await.header("ratelimit-remaining"), "0");

    world.calls();
    let refused = events("192.0.2.1").to(&world).await;
    refused.refused(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert!(world.calls().is_empty(), "nobody was asked");
    let metrics = Ask::get("/metrics").to(&world).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("gateway_rate_limit_exceeded_total 1"), "{metrics}");

    events("192.0.2.2").to(&world).await.expect(200);
    events("2001:db8::1").to(&world).await.expect(200);
    world.clock.advance(Duration::from_secs(1));
    events("192.0.2.1").to(&world).await.expect(200);
    events("192.0.2.1").to(&world).await.refused(429, "RATE_LIMITED");
}

#[tokio::test]
async fn an_account_is_counted_wherever_it_comes_from() {
    let world = strict().await;
    let token = world.token(Role::Individual);
    for host in 1..=3 {
        let answer = events(&format!("192.0.2.{host}")).by(&token).to(&world).await;
        answer.expect(200);
        assert_eq!(answer.header("ratelimit-limit"), "3");
    }
    events("192.0.2.9").by(&token).to(&world).await.refused(429, "RATE_LIMITED");
    events("192.0.2.9").by(&world.token(Role::Admin)).to(&world).await.expect(200);
    events("192.0.2.9").to(&world).await.expect(200);
}

#[tokio::test]
async fn signing_in_is_stricter_and_counted_by_address_also_with_a_token() {
    let world = strict().await;
    let login = |address: &str| {
        let body = json!({"email": "a@example.org", "password": "guess"});
        Ask::post("/api/v1/auth/login", &body).from(address)
    };
    login("192.0.2.1").to(&world).await.expect(200);
    let refused = login("192.0.2.1").by(&world.token(Role::Individual)).to(&world).await;
    refused.refused(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "10");
    let pin = json!({"email": "a@example.org", "pin": "123456"});
    let guess = Ask::post("/api/v1/auth/verify-email", &pin).from("192.0.2.1").to(&world).await;
    guess.refused(429, "RATE_LIMITED");
    login("192.0.2.2").to(&world).await.expect(200);
    events("192.0.2.1").to(&world).await.expect(200);
}

#[tokio::test]
async fn guessing_tokens_is_counted_too() {
    let world = strict().await;
    for _ in 0..2 {
        let answer = events("192.0.2.1").by("a guess").to(&world).await;
        answer.refused(401, "UNAUTHENTICATED");
        assert_eq!(answer.header("ratelimit-limit"), "2");
    }
    events("192.0.2.1").by("a guess").to(&world).await.refused(429, "RATE_LIMITED");
    let token = world.token(Role::Individual);
    events("192.0.2.1").by(&token).to(&world).await.expect(200);
}

#[tokio::test]
async fn webhooks_and_keys_are_never_kept_out() {
    let world = strict().await;
    for _ in 0..20 {
        let webhook = Ask::post("/webhooks/payment/stripe", &json!({})).to(&world).await;
        webhook.expect(200);
        assert_eq!(webhook.header("ratelimit-limit"), "");
        Ask::get("/.well-known/jwks.json").to(&world).await.expect(200);
    }
}

#[test]
fn limits_out_of_range_are_refused_by_name() {
    assert!(defaults().check().is_ok());
    let error = Config { sign_in_per_minute: 0, ..defaults() }.check().unwrap_err();
    assert!(error.to_string().starts_with("gateway.sign_in_per_minute: "), "{error}");
    let error = Config { visitor_burst: 1_000_001, ..defaults() }.check().unwrap_err();
    assert!(error.to_string().starts_with("gateway.visitor_burst: "), "{error}");
}
