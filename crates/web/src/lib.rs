#![doc = include_str!("../README.md")]

mod app;
mod mailbox;
mod programme;
mod style;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use kernel::{Clock, Failure};
use wire::Wire;

use crate::app::{App, Visitor};

/// What a page may load, and who may frame it: our stylesheet, small pictures, a mail's body.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
    frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the pages need.
pub struct Deps {
    /// event-service.
    pub event: Wire,
    /// email-worker, for the mailbox.
    pub email_worker: Wire,
    /// Where browsers find realtime-service; named to developers where it is not empty.
    pub realtime_url: String,
    /// Whether everybody may read all mails: in the one-process demo only.
    pub mailbox: bool,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

/// Why the pages can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A template is wrong.
    #[error("template: {0}")]
    Template(#[from] minijinja::Error),
}

/// The pages. Their fallback answers what no other route does, so that they go into one router with
/// none of its own.
///
/// # Errors
/// If a template is wrong.
pub fn pages(deps: Deps) -> Result<Router, BuildError> {
    let mailbox = deps.mailbox;
    let app = Arc::new(App::new(deps)?);
    let mut pages =
        Router::new().route("/", get(programme::programme)).route("/style.css", get(style::style));
    if mailbox {
        pages = pages
            .route("/mailbox", get(mailbox::mails))
            .route("/mailbox/{mail_id}", get(mailbox::mail))
            .route("/mailbox/{mail_id}/body", get(mailbox::body));
    }
    // The layer is not around the fallback, which also answers programs.
    Ok(pages.layer(map_response(secured)).fallback(unknown).with_state(app))
}

/// Says to a person that there is no such page. To a program it says nothing: the platform makes a
/// problem of it.
async fn unknown(State(app): State<Arc<App>>, visitor: Visitor, request: Request) -> Response {
    let accept = request.headers().get(header::ACCEPT).map(HeaderValue::as_bytes);
    let html = accept.is_some_and(|kinds| kinds.windows(9).any(|kind| kind == b"text/html"));
    if !html || request.uri().path().starts_with("/api/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    secured(app.answer(&visitor, Err(Failure::not_found("page")))).await
}

/// Sets what every answer says about itself, where it does not say it itself.
async fn secured(mut response: Response) -> Response {
    let said = [
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in said {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    // A page that says when to come again comes again by itself.
    if let Some(after) = response.headers().get(header::RETRY_AFTER).cloned() {
        response.headers_mut().insert(header::REFRESH, after);
    }
    response
}
