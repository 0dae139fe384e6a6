//! The same request again: one effect, or a refusal that says so.

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{
    Stage,
    Who::{Buyer, Other, Promoter, Theatre, Visitor},
};
use crate::system::Ask;

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_s_key_has_one_effect_and_one_body() {
    let stage = Stage::set().await;
    one_key(&stage).await;
    stage.end().await;
}

pub(super) async fn one_key(stage: &Stage) {
    let wish = |seat: &str| json!({"event_id": stage.ids["event"], "choice": {"seats": [seat]}});
    let book = |seat: &str| {
        let ask = Ask::new(Method::POST, "/api/v1/bookings").json(&wish(seat));
        ask.header("idempotency-key", "the key")
    };
    let first = stage.send(Other, book("circle/A/1")).await.expect(201);
    stage.settle().await;
    let before = stage.picture().await;
    let again = stage.send(Other, book("circle/A/1")).await.expect(201);
    assert_eq!(again["booking_id"], first["booking_id"]);
    let other = stage.send(Other, book("circle/A/2")).await.expect(422);
    assert_eq!(other["code"], "IDEMPOTENCY_KEY_REUSED");
    stage.unchanged_since(&before).await;

    // A key is its account's own.
    let theirs = stage.send(Buyer, book("circle/A/2")).await.expect(201);
    assert_ne!(theirs["booking_id"], first["booking_id"]);

    let path = format!("/api/v1/bookings/{}/cancel", first["booking_id"].as_str().unwrap());
    let cancelled = stage.post(Other, &path, &json!({"reason": "ill"})).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    stage.settle().await;
    let before = stage.picture().await;
    let again = stage.post(Other, &path, &json!({"reason": "bored"})).await.expect(200);
    assert_eq!((&again["status"], &again["reason"]), (&cancelled["status"], &cancelled["reason"]));
    stage.unchanged_since(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_once_is_done_once() {
    let stage = Stage::set().await;
    once(&stage).await;
    stage.end().await;
}

pub(super) async fn once(stage: &Stage) {
    let publish = stage.filled("/api/v1/events/{draft}/publish");
    let first = stage.post(Theatre, &publish, &Value::Null).await.expect(200);
    assert_eq!(first["status"], "published", "its sale has not begun");
    let door = json!({"code": stage.ids["code"], "event_id": stage.ids["free"], "gate": "north"});
    stage.post(Promoter, "/api/v1/tickets/use", &door).await.expect(200);
    stage.settle().await;
    let before = stage.picture().await;

    let again = stage.post(Theatre, &publish, &Value::Null).await.expect(200);
    assert_eq!(again, first);
    let again = stage.post(Promoter, "/api/v1/tickets/use", &door).await.expect(409);
    assert_eq!(again["code"], "TICKET_ALREADY_USED");
    let place = stage.filled("/api/v1/events/{arena}/queue");
    let taken = stage.get(Buyer, &format!("{place}/place")).await.expect(200);
    let again = stage.post(Buyer, &place, &json!({})).await;
    assert!(matches!(again.status, 200 | 201), "{again:?}");
    assert_eq!(again.body["number"], taken["number"]);
    let email = json!({"email": "other@buyers.example", "pin": "123456"});
    let again = stage.post(Visitor, "/api/v1/auth/verify-email", &email).await.expect(409);
    assert_eq!(again["code"], "ALREADY_VERIFIED");
    stage.unchanged_since(&before).await;

    // Whose turn it is can't give it up any more; who waits can, once.
    let leave = async |who, place: &str| {
        stage.send(who, Ask::new(Method::DELETE, &format!("{place}/place"))).await
    };
    leave(Buyer, &place).await.expect(404);
    let early = stage.filled("/api/v1/events/{draft}/queue");
    stage.wait_for(Other, &early, |_| true).await;
    let waiting = stage.post(Other, &early, &json!({})).await.expect(201);
    assert_eq!(waiting["status"], "waiting", "the sale has not begun");
    let again = stage.post(Other, &early, &json!({})).await;
    assert_eq!(again.body["number"], waiting["number"]);
    leave(Other, &early).await.expect(204);
    leave(Other, &early).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_used_twice_ends_its_session() {
    let stage = Stage::set().await;
    let login = json!({"email": "other@buyers.example", "password": "Correct-horse-9"});
    let tokens = stage.post(Visitor, "/api/v1/auth/login", &login).await.expect(200);
    let refresh = async |token: &Value| {
        stage.post(Visitor, "/api/v1/auth/refresh", &json!({"refresh_token": token})).await
    };
    let next = refresh(&tokens["refresh_token"]).await.expect(200);
    let stolen = refresh(&tokens["refresh_token"]).await.expect(401);
    assert_eq!(stolen["code"], "SESSION_OVER");
    refresh(&next["refresh_token"]).await.expect(401);
    stage.end().await;
}
