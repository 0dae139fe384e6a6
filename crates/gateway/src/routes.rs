//! All routes, one file a noun; and the OpenAPI document that they make.

mod admin;
mod auth;
mod bookings;
mod events;
mod payments;
mod queue;
mod settings;
mod tickets;
mod users;
mod venues;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::http::Problem;
use tonic::Status;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Boxoffice",
        description = "Browse, book and enter. Failures are RFC 9457 problems with a machine-readable `code`.",
        license(name = "Apache-2.0")
    ),
    modifiers(&BearerToken)
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Routes that are limited and documented, and their document.
pub(crate) fn all() -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(auth::routes())
        .merge(users::routes())
        .merge(venues::routes())
        .merge(events::routes())
        .merge(queue::routes())
        .merge(bookings::routes())
        .merge(tickets::routes())
        .merge(payments::routes())
        .merge(admin::routes())
        .merge(settings::routes())
        .split_for_parts()
}

/// Routes that no limit may keep out: the provider's webhooks and the public keys.
pub(crate) fn unlimited() -> Router<Arc<App>> {
    payments::webhooks().merge(auth::keys())
}

/// The document, and a page to try it out.
pub(crate) fn documentation(document: utoipa::openapi::OpenApi) -> Router {
    Router::new().merge(SwaggerUi::new("/api/docs").url("/api/docs/openapi.json", document))
}

/// A refusal of a service, as a problem.
fn refused(status: Status) -> Problem {
    Problem(wire::failure(&status))
}

/// An answer with the version as its `ETag`.
fn tagged(version: i64, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// JSON that was made elsewhere.
fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A route that only answers text, for those who look it up by hand.
fn plain<H, T>(path: &str, handler: H) -> Router<Arc<App>>
where
    H: axum::handler::Handler<T, Arc<App>>,
    T: 'static,
{
    Router::new().route(path, get(handler))
}
