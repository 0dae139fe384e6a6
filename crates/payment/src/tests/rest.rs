//! The service's own REST face, as its clients see it.

use kernel::{AccountId, Role};
use serde_json::{Value, json};

use super::world::{World, on_both};
use crate::ops::{self, CreateIntent};

/// What came back.
struct Answer {
    status: u16,
    link: Option<String>,
    body: Value,
}

async fn get(w: &World, path: &str, token: &str) -> Answer {
    answer(w.http.get(format!("{}{path}", w.url)).bearer_auth(token)).await
}

/// Asks for a refund; without a key where it is empty.
async fn refund(w: &World, path: &str, (token, key): (&str, &str), body: &Value) -> Answer {
    let mut request = w.http.post(format!("{}{path}", w.url)).bearer_auth(token).json(body);
    if !key.is_empty() {
        request = request.header("idempotency-key", key);
    }
    answer(request).await
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
    Answer { status, link, body }
}

impl Answer {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// The first field that is wrong.
    fn wrong(&self) -> (u16, &str) {
        (self.status, self.body["errors"][0]["field"].as_str().unwrap_or_default())
    }
}

fn stranger(w: &World) -> AccountId {
    w.command().account
}

#[tokio::test]
async fn buyers_see_their_own_payments_and_operators_any() {
    on_both(async |w| {
        let payment = w.open().await;
        let buyer = w.token(payment.account, Role::Individual);
        let path = format!("/api/payments/{}", payment.id);
        let seen = get(w, &path, &buyer).await;
        let expected = json!({
            "payment_id": payment.id.to_string(),
            "booking_id": payment.booking.to_string(),
            "amount": { "minor": 5_000, "currency": "EUR" },
            "captured_minor": 0,
            "refunded_minor": 0,
            "state": "requires_payment",
            "provider": "stripe",
            "client_secret": payment.client_secret.as_ref().unwrap().expose(),
            "created_at": payment.created_at.to_string(),
            "updated_at": payment.updated_at.to_string(),
        });
        assert_eq!((seen.status, seen.body), (200, expected));
        let admin = get(w, &path, &w.token(stranger(w), Role::Admin)).await;
        assert_eq!((admin.status, &admin.body["client_secret"]), (200, &Value::Null));
        for role in [Role::Individual, Role::Organization] {
            let other = w.token(stranger(w), role);
            assert_eq!(get(w, &path, &other).await.code(), (404, "NOT_FOUND"));
            assert_eq!(get(w, "/api/payments", &other).await.body, json!({ "items": [] }));
        }
        assert_eq!(get(w, "/api/payments/x", &buyer).await.wrong(), (422, "payment_id"));

        w.clock.advance(std::time::Duration::from_secs(1));
        let command = CreateIntent { account: payment.account, ..w.command() };
        let second = ops::create_intent(&w.app, &super::booking_service(), command).await.unwrap();
        let first = get(w, "/api/payments?limit=1", &buyer).await;
        assert_eq!(first.body["items"][0]["payment_id"], second.id.to_string());
        let link = first.link.unwrap();
        let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        assert!(next.ends_with(first.body["next_cursor"].as_str().unwrap()));
        let last = get(w, next, &buyer).await;
        assert_eq!(last.body["items"][0]["payment_id"], payment.id.to_string());
        assert_eq!((last.link, &last.body["next_cursor"]), (None, &Value::Null));
        for (query, field) in [("limit=101", "limit"), ("cursor=x", "cursor"), ("of=x", "of")] {
            let refused = get(w, &format!("/api/payments?{query}"), &buyer).await;
            assert_eq!(refused.wrong(), (422, field));
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token_of_ours() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let path = format!("/api/payments/{}", payment.id);
        let refunds = format!("{path}/refunds");
        let good = w.token(payment.account, Role::Admin);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
        for token in ["", "nonsense", &forged] {
            for path in ["/api/payments", &path] {
                assert_eq!(get(w, path, token).await.status, 401, "{token}");
            }
            // Told before what else is wrong.
            assert_eq!(refund(w, &refunds, (token, ""), &json!([])).await.status, 401);
        }
        let unsigned = answer(w.http.get(format!("{}/api/payments", w.url))).await;
        assert_eq!(unsigned.code(), (401, "UNAUTHENTICATED"));
        w.clock.advance(std::time::Duration::from_secs(901));
        assert_eq!(get(w, &path, &good).await.status, 401, "its time is over");
        for path in ["/actuator/health", "/actuator/prometheus"] {
            let open = w.http.get(format!("{}{path}", w.url)).send().await.unwrap();
            assert_eq!(open.status(), 200);
            let text = open.text().await.unwrap();
            assert!(text.contains("UP") || text.contains("payment_webhooks_total"), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn operators_give_money_back_once_for_each_of_their_keys() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let path = format!("/api/payments/{}/refunds", payment.id);
        let body = json!({ "amount_minor": 1_500, "reason": "goodwill" });
        let admin = w.token(stranger(w), Role::Admin);
        let made = refund(w, &path, (&admin, "k1"), &body).await;
        let expected = json!({
            "refund_id": made.body["refund_id"],
            "payment_id": payment.id.to_string(),
            "amount": { "minor": 1_500, "currency": "EUR" },
            "state": "succeeded",
            "reason": "goodwill",
            "created_at": w.app.now().to_string(),
        });
        assert_eq!((made.status, &made.body), (201, &expected));
        let again = refund(w, &path, (&admin, "k1"), &body).await;
        assert_eq!((again.status, &again.body), (201, &expected), "a repeat gets the same");
        assert_eq!(w.payment(payment.id).await.refunded_minor, 1_500);
        // The same key of another operator, or of a booking, is another key.
        let colleague = w.token(stranger(w), Role::Admin);
        let other = refund(w, &path, (&colleague, "k1"), &body).await;
        assert_ne!(other.body["refund_id"], made.body["refund_id"]);
        w.refund(payment.id, 1_000, "k1").await.unwrap();
        assert_eq!(w.payment(payment.id).await.refunded_minor, 4_000);

        let changed = json!({ "amount_minor": 1, "reason": "goodwill" });
        let reused = refund(w, &path, (&admin, "k1"), &changed).await;
        assert_eq!(reused.code(), (422, "IDEMPOTENCY_KEY_REUSED"));
        let over = refund(w, &path, (&admin, "k2"), &body).await;
        assert_eq!(over.code(), (409, "REFUND_EXCEEDS_CAPTURED"));
        assert_eq!(over.body["metadata"]["refundable_minor"], "1000");
    })
    .await;
}

#[tokio::test]
async fn refunds_that_are_wrong_or_not_the_callers_to_make_move_nothing() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let path = format!("/api/payments/{}/refunds", payment.id);
        let body = |minor: i64, reason: &str| json!({ "amount_minor": minor, "reason": reason });
        let good = body(1_000, "goodwill");
        for role in [Role::Individual, Role::Organization] {
            let buyer = w.token(payment.account, role);
            assert_eq!(refund(w, &path, (&buyer, "k"), &good).await.code(), (403, "FORBIDDEN"));
        }
        let admin = w.token(stranger(w), Role::Admin);
        let (key, long) = ("k", "k".repeat(201));
        for (key, body, field) in [
            ("", good.clone(), "Idempotency-Key"),
            (&long, good.clone(), "Idempotency-Key"),
            (key, body(0, "goodwill"), "amount_minor"),
            (key, body(-1, "goodwill"), "amount_minor"),
            (key, json!({ "amount_minor": 1.5, "reason": "goodwill" }), "amount_minor"),
            (key, json!({ "reason": "goodwill" }), "amount_minor"),
            (key, body(1_000, ""), "reason"),
            (key, body(1_000, &"x".repeat(501)), "reason"),
            (key, json!({ "amount_minor": 1, "reason": "x", "currency": "EUR" }), "currency"),
        ] {
            assert_eq!(refund(w, &path, (&admin, key), &body).await.wrong(), (422, field));
        }
        let nobodys = format!("/api/payments/{}/refunds", w.ids_uuid());
        let missing = refund(w, &nobodys, (&admin, key), &good).await;
        assert_eq!(missing.code(), (404, "NOT_FOUND"));
        let open = format!("/api/payments/{}/refunds", w.open().await.id);
        let early = refund(w, &open, (&admin, key), &good).await;
        assert_eq!(early.code(), (409, "PAYMENT_NOT_CAPTURED"));
        assert!(w.texts("select reason from refunds", Vec::new()).await.is_empty());
    })
    .await;
}
