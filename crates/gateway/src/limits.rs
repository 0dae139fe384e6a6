//! Rate limits: per account, or per address for visitors; a stricter one for signing in.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
    routing::Route,
};
use kernel::{Caller, Code, Failure};
use platform::{
    http::Problem,
    kv::{Allowance, Rate},
};
use tower::Service;

use crate::{app::App, caller::verified};

/// Verifies the token, counts the request, and refuses it or lets it pass with the caller noted.
pub(crate) async fn limit(app: Arc<App>, mut request: Request, mut route: Route) -> Response {
    let verified = verified(&app, request.headers()).await;
    // A token that is no good counts for its address: guessing must not be free.
    let (key, rate) = bucket(&app, &request, verified.as_ref().unwrap_or(&Caller::Anonymous));
    let counted = app.kv.limit(&key, rate).await;
    let allowance = counted.inspect_err(|failure| {
        // A limiter that is down must not close the door, nor fill the log.
        app.passed_without_limit.inc();
        tracing::debug!(%failure, "rate limits can't be had; letting pass");
    });
    let allowance = allowance.ok();
    let mut response = match (allowance.filter(|its| !its.allowed), verified) {
        (Some(refused), _) => too_many(&app, refused),
        (None, Err(failure)) => Problem(failure).into_response(),
        (None, Ok(caller)) => {
            request.extensions_mut().insert(caller);
            let Ok(answer) = route.call(request).await;
            answer
        }
    };
    if let Some(allowance) = allowance {
        tell(response.headers_mut(), rate, allowance);
    }
    response
}

fn too_many(app: &App, allowance: Allowance) -> Response {
    app.refused_by_limit.inc();
    let wait = u64::try_from(allowance.retry_after.as_millis()).unwrap_or(u64::MAX);
    let failure = Failure::new(Code::Exhausted, "RATE_LIMITED", "too many requests");
    Problem(failure.retry_after(wait)).into_response()
}

/// Whose requests are counted together, and how many are allowed.
fn bucket(app: &App, request: &Request, caller: &Caller) -> (String, Rate) {
    let config = &app.config;
    let address = || {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.map_or_else(|| "unknown".to_owned(), |ConnectInfo(peer)| peer.ip().to_string())
    };
    if request.uri().path().starts_with("/api/v1/auth/") {
        let rate = rate(config.sign_in_burst, config.sign_in_per_minute);
        return (format!("sign-in/{}", address()), rate);
    }
    match caller {
        Caller::Account { id, .. } => {
            (format!("account/{id}"), rate(config.account_burst, config.account_per_minute))
        }
        _ => {
            let rate = rate(config.visitor_burst, config.visitor_per_minute);
            (format!("visitor/{}", address()), rate)
        }
    }
}

fn rate(burst: u32, per_minute: u32) -> Rate {
    Rate { burst, interval: Duration::from_secs(60) / per_minute.max(1) }
}

/// `RateLimit-*` of the IETF draft (draft-ietf-httpapi-ratelimit-headers-07).
fn tell(headers: &mut HeaderMap, rate: Rate, allowance: Allowance) {
    const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
    const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
    const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
    let reset = allowance.reset_after.as_secs_f64().ceil() as u64;
    let numbers =
        [(LIMIT, rate.burst.into()), (REMAINING, allowance.remaining.into()), (RESET, reset)];
    for (name, number) in numbers {
        // Of a text it takes one allocation, of a number two.
        if let Ok(value) = HeaderValue::try_from(number.to_string()) {
            headers.insert(name, value);
        }
    }
}
