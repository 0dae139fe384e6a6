//! Who is let in when more is asked for than can be done: a limit on requests under way, for each
//! class of them. Beyond it they are refused at once, before anything is spent on them. What
//! finishes work that was begun is always let in.

mod limit;
mod share;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use kernel::Failure;
use platform::{Metrics, http::Problem};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use tokio::time::Instant;

use self::{
    limit::{Bounds, Limit, Outcome},
    share::{Counts, Share},
};
use crate::Config;

/// Requests that are let in or refused alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Opens a booking.
    Book,
    /// Holds places.
    Hold,
    /// Takes a place in a queue.
    Join,
    /// Looks at what is free, in order to book.
    Look,
    /// Looks at anything else.
    Read,
    /// Changes anything else.
    Write,
    /// Goes on with, or ends, what was begun: is never refused.
    Finish,
}

/// What goes on with work that was begun, or ends it, and what those need who are at work: the
/// door, the operators, the provider.
const FINISHING: [(&str, &str); 22] = [
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/api/v1/admin/dead-letters"),
    ("GET", "/api/v1/admin/mails"),
    ("GET", "/api/v1/admin/mails/{mail_id}"),
    ("GET", "/api/v1/admin/realtime"),
    ("GET", "/api/v1/bookings/{booking_id}"),
    ("GET", "/api/v1/payments/{payment_id}"),
    ("GET", "/api/v1/tickets"),
    ("GET", "/api/v1/tickets/keys"),
    ("GET", "/api/v1/tickets/{ticket_id}"),
    ("GET", "/api/v1/tickets/{ticket_id}/qr.svg"),
    ("POST", "/api/v1/admin/dead-letters/retry"),
    ("POST", "/api/v1/admin/mails/{mail_id}/retry"),
    ("POST", "/api/v1/auth/logout"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/bookings/{booking_id}/cancel"),
    ("POST", "/api/v1/tickets/use"),
    ("POST", "/api/v1/tickets/validate"),
    ("POST", "/webhooks/payment/{provider}"),
    ("DELETE", "/api/v1/events/{event_id}/queue/place"),
    ("DELETE", "/api/v1/holds/{hold_id}"),
    ("GET", "/api/v1/events/{event_id}/queue/place"),
];
const BOOK: (&str, &str) = ("POST", "/api/v1/bookings");
const HOLD: (&str, &str) = ("PUT", "/api/v1/holds/{hold_id}");
const JOIN: (&str, &str) = ("POST", "/api/v1/events/{event_id}/queue");
const LOOK: (&str, &str) = ("GET", "/api/v1/events/{event_id}/availability");

/// What a person sees who is refused; the browser comes again by itself.
const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
    <title>Very busy \u{b7} Boxoffice</title><h1>Very many people are here just now</h1>\
    <p>This page tries again by itself in a few seconds. Nothing is lost.</p></html>";

impl Class {
    /// The class of requests for a route.
    pub(crate) fn of(method: &Method, route: &str) -> Self {
        let asked = (method.as_str(), route);
        match asked {
            BOOK => Self::Book,
            HOLD => Self::Hold,
            JOIN => Self::Join,
            LOOK => Self::Look,
            _ if FINISHING.contains(&asked) => Self::Finish,
            ("GET" | "HEAD" | "OPTIONS", _) => Self::Read,
            _ => Self::Write,
        }
    }
}

/// How far the service that answered is behind with what it has taken on: an extension of answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind(pub Duration);

/// The gates of all classes.
pub(crate) struct Overload {
    began: Instant,
    book: Gate,
    hold: Gate,
    join: Gate,
    look: Gate,
    read: Gate,
    write: Gate,
    finish: Gate,
    /// Of those who look.
    share: Mutex<Share>,
}

/// The way in of one class.
struct Gate {
    /// None where all are let in.
    limit: Option<Mutex<Limit>>,
    in_flight: Gauge,
    room: Gauge,
    admitted: Counter,
    refused: Counter,
}

/// A request that was let in, until it ends.
pub(crate) struct Entered {
    overload: Arc<Overload>,
    class: Class,
    entered: Duration,
    outcome: Outcome,
    behind: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    class: &'static str,
}

/// What is counted, by class.
#[derive(Default)]
struct Seen {
    in_flight: Family<Labels, Gauge>,
    room: Family<Labels, Gauge>,
    admitted: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
}

impl Overload {
    pub(crate) fn new(config: &Config, metrics: &Metrics) -> Self {
        let seen = Seen::default();
        let help = "requests under way that were let in";
        metrics.register("gateway_admitted_in_flight", help, seen.in_flight.clone());
        let help = "how many requests may be under way at the moment";
        metrics.register("gateway_admission_limit", help, seen.room.clone());
        let help = "requests that were let in";
        metrics.register("gateway_admitted", help, seen.admitted.clone());
        let help = "requests refused as there was no room for them";
        metrics.register("gateway_refused_overload", help, seen.refused.clone());
        let gate = |class, target_ms: Option<u32>| {
            let bounds = |target_ms: u32| Bounds {
                target: Duration::from_millis(target_ms.into()),
                least: config.overload_least.min(config.overload_most),
                most: config.overload_most,
                longest_pause: Duration::from_secs(config.overload_longest_retry_seconds.into()),
            };
            let target_ms = target_ms.filter(|_| config.overload_protection);
            let limit = target_ms.map(|target_ms| Limit::new(bounds(target_ms)));
            Gate::new(limit, &seen, class)
        };
        let (read, write) = (config.overload_read_target_ms, config.overload_write_target_ms);
        Self {
            began: Instant::now(),
            book: gate("book", Some(write)),
            hold: gate("hold", Some(write)),
            join: gate("join", Some(read)),
            look: gate("look", Some(read)),
            read: gate("read", Some(read)),
            write: gate("write", Some(write)),
            finish: gate("finish", None),
            share: Mutex::new(Share::new()),
        }
    }

    const fn gate(&self, class: Class) -> &Gate {
        match class {
            Class::Book => &self.book,
            Class::Hold => &self.hold,
            Class::Join => &self.join,
            Class::Look => &self.look,
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Finish => &self.finish,
        }
    }

    /// Lets a request in, or says after how long to come again.
    fn enter(self: Arc<Self>, class: Class) -> Result<Entered, Duration> {
        let (gate, now) = (self.gate(class), self.began.elapsed());
        if let Some(mut limit) = gate.lock() {
            let looks_in_vain = class == Class::Look && !self.may_look(now);
            let entered = if looks_in_vain { Err(limit.turn_away()) } else { limit.enter(now) };
            entered.inspect_err(|_| {
                gate.refused.inc();
            })?;
            gate.room.set(limit.room(now).into());
        }
        gate.admitted.inc();
        gate.in_flight.inc();
        Ok(Entered { overload: self, class, entered: now, outcome: Outcome::Nothing, behind: None })
    }

    /// Whether one who looks will find room to hold or to book.
    fn may_look(&self, now: Duration) -> bool {
        let wants = [&self.book, &self.hold];
        let counts = Counts {
            admitted: wants.map(|gate| gate.admitted.get()).iter().sum(),
            refused: wants.map(|gate| gate.refused.get()).iter().sum(),
        };
        self.share.lock().unwrap_or_else(PoisonError::into_inner).enter(now, counts)
    }
}

impl Gate {
    fn new(limit: Option<Limit>, seen: &Seen, class: &'static str) -> Self {
        let labels = Labels { class };
        Self {
            limit: limit.map(Mutex::new),
            in_flight: seen.in_flight.get_or_create(&labels).clone(),
            room: seen.room.get_or_create(&labels).clone(),
            admitted: seen.admitted.get_or_create(&labels).clone(),
            refused: seen.refused.get_or_create(&labels).clone(),
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Limit>> {
        self.limit.as_ref().map(|limit| limit.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whoever asked may have left: the request has ended all the same.
impl Drop for Entered {
    fn drop(&mut self) {
        let gate = self.overload.gate(self.class);
        gate.in_flight.dec();
        if let Some(mut limit) = gate.lock() {
            let now = self.overload.began.elapsed();
            limit.leave(now, self.outcome, now.saturating_sub(self.entered));
            if let Some(behind) = self.behind {
                limit.note_behind(now, behind);
            }
        }
    }
}

/// Lets a request in, or refuses it.
pub(crate) fn enter(overload: &Arc<Overload>, request: &Request) -> Result<Entered, Box<Response>> {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let class = Class::of(request.method(), path);
    overload.clone().enter(class).map_err(|pause| refused(request.headers(), path, pause).into())
}

/// Has a request that was let in answered by `answer`, and notes how that went.
pub(crate) async fn answer(
    entered: Result<Entered, Box<Response>>,
    answer: impl Future<Output = Response>,
) -> Response {
    let mut entered = match entered {
        Ok(entered) => entered,
        Err(refused) => return *refused,
    };
    let response = answer.await;
    entered.outcome = outcome(response.status());
    entered.behind = response.extensions().get::<Behind>().map(|behind| behind.0);
    response
}

fn outcome(status: StatusCode) -> Outcome {
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Outcome::Failed,
        // Refused for what it is, which is no work.
        status if status.is_client_error() => Outcome::Nothing,
        _ => Outcome::Done,
    }
}

/// 503 with `Retry-After`: a problem, or for who reads pages one that comes again by itself.
fn refused(headers: &HeaderMap, route: &str, pause: Duration) -> Response {
    let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let detail = "more is asked for than can be done, come again later";
    let problem = Problem(Failure::overloaded(detail).retry_after(milliseconds)).into_response();
    let accepted = headers.get(header::ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    let reads_pages = accepted.windows(9).any(|kind| kind == b"text/html");
    if !reads_pages || route.starts_with("/api/") {
        return problem;
    }
    let mut page = (problem.status(), Html(PAGE)).into_response();
    let after = problem.headers().get(header::RETRY_AFTER).cloned();
    let said = [
        (header::RETRY_AFTER, after.clone()),
        (header::REFRESH, after),
        (header::CACHE_CONTROL, Some(HeaderValue::from_static("no-store"))),
        (header::CONTENT_SECURITY_POLICY, Some(HeaderValue::from_static("default-src 'none'"))),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            page.headers_mut().insert(name, value);
        }
    }
    page
}
