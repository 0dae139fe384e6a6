//! All routes, one file a noun; and the OpenAPI document that they make.

mod admin;
mod auth;
mod bookings;
mod events;
mod holds;
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
};
use platform::http::Problem;
use tonic::Status;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components, OpenApi as OpenApiDocument,
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
        description = "Browse, book and enter. Failures are RFC 9457 problems with a `code`.",
        license(name = "Apache-2.0")
    ),
    modifiers(&BearerToken)
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut OpenApiDocument) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// All routes, and the document of them.
pub(crate) struct Routes {
    /// Those that are limited.
    pub limited: Router<Arc<App>>,
    pub unlimited: Router<Arc<App>>,
    pub document: OpenApiDocument,
}

impl Routes {
    pub(crate) fn new() -> Self {
        let (limited, mut document) = limited().split_for_parts();
        let (unlimited, rest) = unlimited().split_for_parts();
        document.merge(rest);
        Self { limited, unlimited, document }
    }
}

fn limited() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(auth::routes())
        .merge(users::routes())
        .merge(venues::routes())
        .merge(events::routes())
        .merge(queue::routes())
        .merge(bookings::routes())
        .merge(holds::routes())
        .merge(tickets::routes())
        .merge(payments::routes())
        .merge(admin::routes())
        .merge(settings::routes())
}

/// Routes that no limit may keep out: the provider's webhooks and the public keys.
fn unlimited() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(payments::webhooks()).merge(auth::keys())
}

/// The document, and a page to try it out.
pub(crate) fn documentation(document: OpenApiDocument) -> Router {
    Router::new().merge(SwaggerUi::new("/api/docs").url("/api/docs/openapi.json", document))
}

/// A refusal of a service, as a problem.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
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
