//! The HTTP face as clients see it: problems, extractors, the stack, the server.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use kernel::{Caller, Code, Failure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::{Metrics, Tasks, Unit};

fn unit() -> Unit {
    Unit::new("booking", Metrics::new(), Tasks::new())
}

fn stacked(router: Router) -> Router {
    stack(router, &unit())
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    (parts.status, parts.headers, body)
}

fn at(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn posted(path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", kind).body(body.into()).unwrap()
}

#[tokio::test]
async fn every_code_has_its_status_and_says_nothing_internal() {
    let secret = "password=hunter2";
    let answered = |failure: Failure| async move {
        let response = Problem(failure).into_response();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        (parts, serde_json::from_slice::<Value>(&bytes).unwrap())
    };
    for (code, status, told) in [
        (Code::Invalid, 400, true),
        (Code::Unauthenticated, 401, true),
        (Code::Forbidden, 403, true),
        (Code::NotFound, 404, true),
        (Code::Conflict, 409, true),
        (Code::Stale, 412, true),
        (Code::Exhausted, 429, true),
        (Code::Unavailable, 503, true),
        (Code::Deadline, 504, true),
        (Code::Internal, 500, false),
    ] {
        let (parts, body) = answered(Failure::new(code, "SOME_REASON", secret)).await;
        assert_eq!(parts.status.as_u16(), status);
        assert_eq!(parts.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["code"], "SOME_REASON");
        assert_eq!(body["type"], "urn:boxoffice:problem:SOME_REASON");
        assert_eq!(body["title"], "some reason");
        assert_eq!(body["detail"] == secret, told, "{code:?}");
        assert_eq!(parts.headers.contains_key("www-authenticate"), status == 401);
    }
    let (parts, body) = answered(Failure::unavailable(secret)).await;
    assert_eq!(
        (parts.headers["retry-after"].as_bytes(), body["code"].as_str()),
        (&b"1"[..], Some("UNAVAILABLE"))
    );
    assert!(!body.to_string().contains(secret));

    let taken = Failure::new(Code::Conflict, "SEAT_TAKEN", "taken").with("free", 3);
    let (parts, body) = answered(taken.retry_after(1_500)).await;
    assert_eq!(parts.headers["retry-after"], "2");
    assert_eq!(body["metadata"], json!({ "free": "3" }));

    let (parts, body) = answered(Failure::invalid("seats[2]", "no such seat")).await;
    assert_eq!(parts.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["errors"], json!([{ "field": "seats[2]", "detail": "no such seat" }]));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Plain,
    Gift,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    quantity: u32,
}

#[derive(Debug, Deserialize)]
struct Filter {
    limit: Option<u32>,
}

fn extracting() -> Router {
    let order = async |Json(order): Json<Order>| {
        let quantity: u32 = order.lines.iter().map(|line| line.quantity).sum();
        let wrapped = if matches!(order.kind, Kind::Gift) { " wrapped" } else { "" };
        format!("{} {quantity}{wrapped}", order.name)
    };
    let list = async |Query(filter): Query<Filter>| format!("{:?}", filter.limit);
    let numbered = async |Path(number): Path<u32>| number.to_string();
    let named = async |Path((a, b)): Path<(String, u32)>| format!("{a} {b}");
    stacked(
        Router::new()
            .route("/orders", post(order))
            .route("/list", get(list))
            .route("/numbers/{number}", get(numbered))
            .route("/pairs/{a}/{b}", get(named)),
    )
}

#[tokio::test]
async fn bodies_that_are_wrong_are_refused_with_the_field() {
    let router = extracting();
    let good = r#"{"name":"a","lines":[{"quantity":2}]}"#;
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/x+json"] {
        let (status, _, body) = ask(&router, posted("/orders", kind, good)).await;
        assert_eq!((status, body), (StatusCode::OK, json!("a 2")), "{kind}");
    }
    let gift = r#"{"name":"a","kind":"gift"}"#;
    let gift = ask(&router, posted("/orders", "application/json", gift)).await;
    assert_eq!(gift.2, "a 0 wrapped");
    let missing = Request::post("/orders").body(Body::from(good)).unwrap();
    assert_eq!(ask(&router, missing).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let text = ask(&router, posted("/orders", "text/plain", good)).await;
    assert_eq!(text.2["code"], "UNSUPPORTED_MEDIA_TYPE");
    let long = format!("{{\"name\":\"{}\"}}", "a".repeat(1 << 20));
    let long = ask(&router, posted("/orders", "application/json", long)).await;
    assert_eq!(
        (long.0, &long.2["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("PAYLOAD_TOO_LARGE"))
    );
    let invalid_utf8 = posted("/orders", "application/json", b"{\"name\":\"\xff\"}".to_vec());
    assert_eq!(ask(&router, invalid_utf8).await.0, StatusCode::BAD_REQUEST);
    for malformed in ["", "{", "{\"name\":\"a\"} x", "{name:1}", &"[".repeat(10_000)] {
        let (status, _, body) =
            ask(&router, posted("/orders", "application/json", malformed.to_owned())).await;
        assert!(status.is_client_error() && body["status"] == status.as_u16(), "{body}");
    }
    for (wrong, field, detail) in [
        ("{}", "name", "is required"),
        (r#"{"name":1}"#, "name", "invalid type: integer `1`, expected a string"),
        (r#"{"name":"a","nmae":1}"#, "nmae", "is not known"),
        (r#"{"name":"a","lines":[{"quantity":1},{}]}"#, "lines[1].quantity", "is required"),
        (r#"{"name":"a","lines":[{"quantity":1,"x":2}]}"#, "lines[0].x", "is not known"),
        (
            r#"{"name":"a","lines":[{"quantity":-1}]}"#,
            "lines[0].quantity",
            "invalid value: integer `-1`, expected u32",
        ),
        (r#""a""#, "body", "invalid type: string \"a\", expected an object"),
        (r#" ["a","gift",[]]"#, "body", "expected an object"),
        (r#"{"name":"a","kind":7}"#, "kind", "is of the wrong type"),
        (r#"{"name":"a","kind":"x"}"#, "kind", "unknown variant `x`, expected `plain` or `gift`"),
        (
            r#"{"name":"a","lines":[7]}"#,
            "lines[0]",
            "invalid type: integer `7`, expected an object",
        ),
    ] {
        let (status, _, body) = ask(&router, posted("/orders", "application/json", wrong)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert_eq!(body["errors"], json!([{ "field": field, "detail": detail }]), "{wrong}");
    }
}

#[tokio::test]
async fn queries_and_paths_that_are_wrong_are_refused_with_the_parameter() {
    let router = extracting();
    assert_eq!(ask(&router, at("/list?limit=3")).await.2, "Some(3)");
    assert_eq!(ask(&router, at("/pairs/x/4")).await.2, "x 4");
    for (path, field) in [
        ("/list?limit=x", "limit"),
        ("/numbers/x", "number"),
        ("/numbers/-1", "number"),
        ("/pairs/a/b", "b"),
        ("/pairs/%ff/1", "a"),
    ] {
        let (status, _, body) = ask(&router, at(path)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {body}");
        assert_eq!(body["errors"][0]["field"], field, "{path}");
    }
}

#[tokio::test]
async fn the_correlation_id_goes_in_and_out_and_into_problems_and_calls() {
    let inside = async |parts: Parts| {
        let context = context(&parts, Caller::Anonymous);
        assert!(context.deadline.is_some());
        format!("{} {:?}", context.correlation_id, context.traceparent)
    };
    let fails = async || Problem(Failure::internal("no"));
    let router = stacked(Router::new().route("/in", get(inside)).route("/fails", get(fails)));
    let with = |path: &str, id: &str, trace: &str| {
        let request =
            Request::get(path).header("x-correlation-id", id).header("traceparent", trace);
        request.body(Body::empty()).unwrap()
    };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (_, headers, body) = ask(&router, with("/in", "client-1", trace)).await;
    assert_eq!(headers["x-correlation-id"], "client-1");
    assert_eq!(body, format!("client-1 Some({trace:?})"));

    for insane in ["", "a b", "<script>", &"x".repeat(129)] {
        let (_, headers, body) = ask(&router, with("/in", insane, "00-short-01")).await;
        let made = headers["x-correlation-id"].to_str().unwrap();
        assert_eq!((made.len(), made == insane), (32, false));
        assert_eq!(body, format!("{made} None"));
    }
    for path in ["/fails", "/nowhere"] {
        let (_, headers, body) = ask(&router, with(path, "client-2", trace)).await;
        assert_eq!(headers["x-correlation-id"], "client-2", "{path}");
        assert_eq!(body["correlation_id"], "client-2", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_around_a_handler_is_a_problem_and_counted() {
    let unit = unit();
    let panics = async || -> Response { panic!("on purpose") };
    let hangs = async || -> Response { std::future::pending().await };
    let raw = async |body: bytes::Bytes| body.len().to_string();
    let own = async || (StatusCode::NOT_FOUND, axum::Json(json!({ "own": true })));
    let router = Router::new()
        .route("/panics", get(panics))
        .route("/hangs", get(hangs))
        .route("/raw/{id}", post(raw))
        .route("/own", get(own));
    let router = stack(router, &unit);

    for (request, status, code) in [
        (at("/panics"), 500, "INTERNAL"),
        (at("/hangs"), 504, "DEADLINE_EXCEEDED"),
        (at("/nowhere"), 404, "NOT_FOUND"),
        (at("/raw/1"), 405, "METHOD_NOT_ALLOWED"),
        (posted("/raw/1", "text/plain", vec![0; (1 << 20) + 1]), 413, "PAYLOAD_TOO_LARGE"),
    ] {
        let (answered, headers, body) = ask(&router, request).await;
        assert_eq!((answered.as_u16(), body["code"].as_str()), (status, Some(code)));
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers.contains_key("allow"), status == 405);
    }
    assert_eq!(ask(&router, at("/own")).await.2, json!({ "own": true }));
    let odd = Request::builder().method("PROPFIND").uri("/raw/2").body(Body::empty()).unwrap();
    ask(&router, odd).await;

    let metrics = unit.metrics.encode();
    for line in [
        r#"http_requests_total{method="GET",route="/panics",status="500"} 1"#,
        r#"http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"http_requests_total{method="POST",route="/raw/{id}",status="413"} 1"#,
        r#"http_requests_total{method="other",route="/raw/{id}",status="405"} 1"#,
        r#"http_request_duration_seconds_count{method="GET",route="/hangs"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_tells_the_truth_about_every_part() {
    let probe = |result: Result<(), String>| -> crate::Probe {
        Arc::new(move || {
            let result = result.clone();
            Box::pin(async move { result })
        })
    };
    let up = unit().probe("database", probe(Ok(())));
    let router = faces(&up);
    assert_eq!(ask(&router, at("/health")).await.2, json!({ "status": "up" }));
    let (status, _, body) = ask(&router, at("/ready")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["parts"], json!([{ "name": "database", "status": "up" }]));
    let (_, headers, body) = ask(&router, at("/metrics")).await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(body.as_str().unwrap().ends_with("# EOF\n"));

    up.tracked.stop(Duration::ZERO).await;
    assert_eq!(ask(&router, at("/ready")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&router, at("/health")).await.0, StatusCode::OK, "alive until the end");

    let down = unit()
        .probe("database", probe(Err("refused by 10.0.0.1".to_owned())))
        .probe("bus", Arc::new(|| Box::pin(std::future::pending())))
        .probe("cache", probe(Ok(())));
    let (status, _, body) = ask(&faces(&down), at("/ready")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let states: Vec<_> = body["parts"].as_array().unwrap().iter().map(|p| &p["status"]).collect();
    assert_eq!(states, ["down", "down", "up"]);
    assert!(!body.to_string().contains("10.0.0.1"), "why is for the log");
}

/// A server on a port of its own, its stop, and its end.
async fn served(
    router: Router,
) -> (std::net::SocketAddr, CancellationToken, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, (ended, end)) = (CancellationToken::new(), oneshot::channel());
    let stopping = stop.clone();
    Tasks::new().spawn("server", async move {
        serve(listener, router, stopping).await.unwrap();
        let _ = ended.send(());
    });
    (address, stop, end)
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn requests_under_way_finish_and_idle_connections_do_not_hold_the_stop() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, gate) = (entered.clone(), go.clone());
    let slow = async move |ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| {
        enter.notify_one();
        gate.notified().await;
        peer.ip().to_string()
    };
    let (address, stop, end) = served(stacked(Router::new().route("/slow", get(slow)))).await;
    let _idle = TcpStream::connect(address).await.unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;
    stop.cancel();
    go.notify_one();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    end.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_cut_after_the_limit() {
    let entered = Arc::new(Notify::new());
    let enter = entered.clone();
    let hangs = async move || -> String {
        enter.notify_one();
        std::future::pending().await
    };
    let (address, stop, end) = served(Router::new().route("/hangs", get(hangs))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /hangs HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;
    stop.cancel();
    end.await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn an_upgraded_connection_outlives_the_request() {
    use axum::extract::ws::{Message, WebSocketUpgrade};
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                let _ = socket.send(Message::Text(text)).await;
            }
        })
    };
    let (address, stop, end) = served(stacked(Router::new().route("/ws", get(echo)))).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let hello = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(hello.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    // One text frame "hi", masked with zeros, and its echo without mask; the stop does not wait for
    // it.
    stop.cancel();
    end.await.unwrap();
    client.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echoed = [0; 4];
    client.read_exact(&mut echoed).await.unwrap();
    assert_eq!(echoed, [0x81, 2, b'h', b'i']);
}
