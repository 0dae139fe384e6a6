//! The door: `GET /ws`. Whoever may not come in is told so before the upgrade.

use std::sync::Arc;

use axum::{
    Router,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderName, header},
    response::Response,
    routing::get,
};
use kernel::{Code, Failure};
use platform::{
    http::{Problem, Query},
    tokens::Claims,
};
use serde::Deserialize;

use crate::{app::App, connection, frame::MAX_FRAME_BYTES};

/// A frame that is a little too long is told so; one that is longer than this ends the connection.
const MAX_READ_BYTES: usize = MAX_FRAME_BYTES + 4_096;
/// Clients send little; what they send is larger than this only if they take the trouble.
const READ_BUFFER_BYTES: usize = 2_048;
/// Frames are collected up to this size before they are written.
const WRITE_BUFFER_BYTES: usize = 4_096;

#[derive(Deserialize)]
struct Entry {
    token: Option<String>,
}

pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new().route("/ws", get(open)).with_state(app)
}

async fn open(
    State(app): State<Arc<App>>,
    Query(entry): Query<Entry>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    check_origin(&app, &headers)?;
    let claims = identify(&app, &headers, entry.token.as_deref()).await?;
    if app.tasks.stopping().is_cancelled() {
        return Err(Failure::unavailable("the service stops").into());
    }
    let upgrade = upgrade.map_err(|rejection| {
        Failure::new(Code::Invalid, "NOT_A_WEBSOCKET", rejection.body_text().to_lowercase())
    })?;
    let slot = app.slots.clone().try_acquire_owned().map_err(|_| {
        let detail = "no more connections here at the moment";
        Failure::new(Code::Unavailable, "TOO_MANY_CONNECTIONS", detail)
    })?;
    let upgrade = upgrade
        .max_message_size(MAX_READ_BYTES)
        .max_frame_size(MAX_READ_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES);
    Ok(upgrade.on_upgrade(async move |socket| {
        // A task that shutdown waits for.
        let tasks = app.tasks.clone();
        tasks.spawn("connection", connection::serve(app, socket, claims, slot));
    }))
}

/// Pages of strangers must not speak for their visitors. Only browsers send an origin.
fn check_origin(app: &App, headers: &HeaderMap) -> Result<(), Failure> {
    let allowed = &app.config.allowed_origins;
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| !allowed.is_empty()) else {
        return Ok(());
    };
    if allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
        return Ok(());
    }
    Err(Failure::new(Code::Forbidden, "ORIGIN_NOT_ALLOWED", "this page may not connect"))
}

/// Who connects: by the header, or by the query, since browsers can't send one.
async fn identify(
    app: &App,
    headers: &HeaderMap,
    token: Option<&str>,
) -> Result<Option<Claims>, Failure> {
    let refused = |detail| Failure::new(Code::Unauthenticated, "UNAUTHENTICATED", detail);
    let token = match text(headers, &header::AUTHORIZATION) {
        Some(value) => match value.trim().split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
            _ => return Err(refused("the authorization header holds no bearer token")),
        },
        None => token,
    };
    match token {
        Some(token) => app.access.verify(token).await.map(Some),
        None if app.config.allow_anonymous => Ok(None),
        None => Err(refused("connect with a token")),
    }
}

/// The header as text; one that is no text is as good as an empty one.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}
