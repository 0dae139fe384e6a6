//! The service's own REST face, as its clients see it.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use tower::ServiceExt as _;

use super::stage::{Stage, stage};
use crate::http;

struct Face {
    router: Router,
    bearer: String,
}

async fn face(stage: &Stage) -> Face {
    Face { router: http::routes(stage.app().await), bearer: stage.bearer() }
}

impl Face {
    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, serde_json::Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

#[tokio::test]
async fn a_booking_is_opened_read_and_cancelled() {
    let stage = stage().await;
    let face = face(&stage).await;
    let signed: (&str, &str) = ("authorization", &face.bearer);
    let body = format!(
        r#"{{"event_id":"{}","choice":{{"admissions":{{"section":"floor","quantity":2}}}}}}"#,
        stage.event
    );
    let headers = [signed, ("idempotency-key", "k")];
    let (status, opened) = face.ask("POST", "/api/bookings", &headers, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{opened}");
    assert_eq!(opened["status"], "PAYMENT_PENDING");
    assert_eq!(opened["client_secret"], "secret-1");
    assert_eq!(opened["total"]["minor"], 5_000);
    let path = format!("/api/bookings/{}", opened["booking_id"].as_str().unwrap());
    let (status, read) = face.ask("GET", &path, &[signed], "").await;
    assert_eq!((status, &read["reference"]), (StatusCode::OK, &opened["reference"]));
    let cancel = format!("{path}/cancel");
    let (status, _) = face.ask("POST", &cancel, &[signed], r#"{"reason":" "}"#).await;
    assert!(status.is_client_error());
    let (status, cancelled) = face.ask("POST", &cancel, &[signed], r#"{"reason":"ill"}"#).await;
    assert_eq!((status, &cancelled["status"]), (StatusCode::OK, &"CANCELLED".into()));
    assert_eq!(face.ask("GET", "/actuator/health", &[], "").await.0, StatusCode::OK);
    assert_eq!(face.ask("GET", "/actuator/prometheus", &[], "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn wrong_requests_are_told_so_and_change_nothing() {
    let stage = stage().await;
    let face = face(&stage).await;
    let signed: (&str, &str) = ("authorization", &face.bearer);
    let key = ("idempotency-key", "k");
    let event = stage.event;
    let choice = |wish: &str| format!(r#"{{"event_id":"{event}","choice":{wish}}}"#);
    let good = choice(r#"{"admissions":{"section":"floor","quantity":2}}"#);
    let open = async |headers: &[(&str, &str)], body: &str| {
        face.ask("POST", "/api/bookings", headers, body).await.0
    };
    assert_eq!(open(&[key], &good).await, StatusCode::UNAUTHORIZED);
    assert_eq!(open(&[("authorization", "Bearer x"), key], &good).await, StatusCode::UNAUTHORIZED);
    assert!(open(&[signed], &good).await.is_client_error(), "no key");
    for body in [
        String::new(),
        "{".to_owned(),
        "{}".to_owned(),
        choice("{}"),
        choice(r#"{"seats":[]}"#),
        choice(r#"{"seats":["nonsense"]}"#),
        choice(r#"{"admissions":{"section":"floor","quantity":0}}"#),
        choice(r#"{"admissions":{"section":"floor","quantity":-1}}"#),
        choice(r#"{"admissions":{"section":"floor","quantity":4294967295}}"#),
        choice(r#"{"best_available":{"quantity":1,"colour":"red"}}"#),
        good.replace("event_id", "event"),
        good.replace(&event.to_string(), "7"),
    ] {
        let status = open(&[signed, key], &body).await;
        assert!(status.is_client_error(), "{status} to {body}");
    }
    let missing = "/api/bookings/01900000-0000-7000-8000-000000000000";
    assert_eq!(face.ask("GET", missing, &[signed], "").await.0, StatusCode::NOT_FOUND);
    assert!(face.ask("GET", "/api/bookings/7", &[signed], "").await.0.is_client_error());
    assert!(stage.kinds().await.is_empty());
    assert!(stage.world.memory().calls.is_empty());
}
