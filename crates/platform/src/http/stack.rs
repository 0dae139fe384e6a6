//! What is wrapped around every route: correlation id, trace span, time limit, panics caught,
//! metrics, problems.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{Route, future::RouteFuture},
};
use futures_util::FutureExt;
use kernel::{Caller, Code, Failure, Ids};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use tokio::time::Instant;
use tower::Service;
use tracing::Instrument;

use super::{
    extract::too_large,
    problem::{METHOD_NOT_ALLOWED, Problem, UNSUPPORTED_MEDIA_TYPE},
    wrap::wrap,
};
use crate::{SystemIds, Unit, tasks::words};

/// The longest body of a request, where a route sets no other limit.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How long a request may take to be answered; an upgraded connection may go on.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The longest correlation id that is taken from a client.
const MAX_CORRELATION_BYTES: usize = 128;
const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");
/// Upper ends of the duration histogram's buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

tokio::task_local! {
    /// The correlation id of the request that this task answers, for problems.
    pub(super) static CORRELATION: Arc<str>;
}

/// An extension of every request that passed the stack.
#[derive(Clone)]
struct Begun {
    /// The client's `X-Correlation-ID` if it is sane, else a new one.
    correlation_id: Arc<str>,
    /// When an answer is of no use any more.
    answer_by: Instant,
}

struct Seen {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    method: &'static str,
    route: String,
}

/// Wraps routes in what every HTTP face has: correlation id in and out, trace span, body limit,
/// time limit, panics caught, request metrics, 404 and 405 as problems. Once per service, as it
/// registers metrics; with the faces merged in before.
pub fn stack(router: Router, unit: &Unit) -> Router {
    let seen = Seen {
        requests: Family::default(),
        durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
    };
    let metrics = &unit.metrics;
    metrics.register("http_requests", "Answered requests.", seen.requests.clone());
    let help = "Time to answer, in seconds.";
    metrics.register("http_request_duration_seconds", help, seen.durations.clone());
    let seen = Arc::new(seen);
    let around = move |request: Request, route: &mut Route| around(seen.clone(), request, route);
    router.layer((DefaultBodyLimit::max(MAX_BODY_BYTES), wrap(around)))
}

/// The context in which `caller` asks: with the correlation id, trace and deadline of the request.
#[must_use]
pub fn context(parts: &Parts, caller: Caller) -> wire::Context {
    let begun = parts.extensions.get::<Begun>();
    let correlation_id = match begun {
        Some(begun) => begun.correlation_id.clone(),
        None => correlation_id(&parts.headers),
    };
    let traceparent = traceparent(&parts.headers);
    let deadline = begun.map(|begun| begun.answer_by);
    wire::Context { caller, correlation_id, traceparent, deadline }
}

fn around(
    seen: Arc<Seen>,
    mut request: Request,
    route: &mut Route,
) -> impl Future<Output = Response> + Send + use<> {
    let started = Instant::now();
    let id = correlation_id(request.headers());
    let method = method_label(request.method());
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("http", method, route = path, correlation_id = &*id);
    let begun = Begun { correlation_id: id.clone(), answer_by: started + REQUEST_LIMIT };
    request.extensions_mut().insert(begun);
    let answering = CORRELATION.scope(id.clone(), answer(route.call(request))).instrument(span);
    async move {
        let mut response = answering.await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(CORRELATION_HEADER, value);
        }
        let labels = DurationLabels { method, route: path };
        seen.durations.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
        let DurationLabels { method, route } = labels;
        let labels = RequestLabels { method, route, status: response.status().as_u16() };
        seen.requests.get_or_create(&labels).inc();
        response
    }
}

async fn answer(answering: RouteFuture<Infallible>) -> Response {
    let handled = AssertUnwindSafe(answering).catch_unwind();
    match tokio::time::timeout(REQUEST_LIMIT, handled).await {
        Ok(Ok(Ok(response))) => as_problem(response),
        Ok(Err(panic)) => {
            tracing::error!(panic = words(&*panic), "handler panicked");
            Problem(Failure::internal("the handler panicked")).into_response()
        }
        Err(_) => {
            let detail = "there was no answer in time";
            Problem(Failure::new(Code::Deadline, "DEADLINE_EXCEEDED", detail)).into_response()
        }
    }
}

/// Refusals that the router made by itself have no body, or one of plain words; they become
/// problems.
fn as_problem(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_none_or(|kind| kind.starts_with(b"text/plain")) {
        return response;
    }
    let invalid = |reason, detail| Failure::new(Code::Invalid, reason, detail);
    let failure = match response.status() {
        StatusCode::NOT_FOUND => Failure::not_found("route"),
        StatusCode::METHOD_NOT_ALLOWED => {
            invalid(METHOD_NOT_ALLOWED, "the route has other methods")
        }
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            invalid(UNSUPPORTED_MEDIA_TYPE, "the body is of a kind that is not read here")
        }
        _ => return response,
    };
    let mut problem = Problem(failure).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

fn correlation_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(CORRELATION_HEADER).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        !id.is_empty() && id.len() <= MAX_CORRELATION_BYTES && id.bytes().all(fits)
    };
    given.filter(sane).map_or_else(new_correlation_id, Arc::from)
}

fn new_correlation_id() -> Arc<str> {
    let mut random = [0; 16];
    SystemIds.fill(&mut random);
    format!("{:032x}", u128::from_be_bytes(random)).into()
}

/// The W3C trace context, if it is one: `00-<32 hex>-<16 hex>-<2 hex>`.
fn traceparent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let lengths = text.split('-').map(str::len).take(5);
    let hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (lengths.eq([2, 32, 16, 2]) && text.bytes().all(hex)).then(|| text.into())
}

/// The method, out of a closed set: a client must not make up time series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
