//! Failures as HTTP answers: RFC 9457 problems, and the one mapping of codes to statuses.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kernel::{Code, Failure};
use serde::Serialize;

use super::stack::CORRELATION;

/// The body is too long. These three have HTTP statuses that no code stands for.
pub(super) const PAYLOAD_TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
/// The body is of a kind that is not read here.
pub(super) const UNSUPPORTED_MEDIA_TYPE: &str = "UNSUPPORTED_MEDIA_TYPE";
/// The route exists, with other methods.
pub(super) const METHOD_NOT_ALLOWED: &str = "METHOD_NOT_ALLOWED";

/// What is said of a fault of ours.
const FAULT: &str = "something went wrong on our side";
/// What is said where a part is down.
const DOWN: &str = "temporarily unavailable, try again";

/// A failure as `application/problem+json` (RFC 9457) with `code`, `detail`, `correlation_id` and
/// field errors.
#[derive(Debug)]
pub struct Problem(pub Failure);

impl<F: Into<Failure>> From<F> for Problem {
    fn from(failure: F) -> Self {
        Self(failure.into())
    }
}

impl Problem {
    /// The status that this problem is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        status(&self.0)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let failure = self.0;
        let status = status(&failure);
        let mut answer = Response::new(Body::from(body(&failure, status)));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let default = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1_000);
        if let Some(milliseconds) = failure.retry_after_ms.or(default) {
            headers.insert(header::RETRY_AFTER, milliseconds.div_ceil(1_000).into());
        }
        answer
    }
}

/// The members of RFC 9457, and ours.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: String,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Wrong<'a> {
    field: &'a str,
    detail: &'a str,
}

fn body(failure: &Failure, status: StatusCode) -> Vec<u8> {
    let fields = failure.fields.iter();
    let errors = fields.map(|error| Wrong { field: &error.field, detail: &error.detail });
    let document = Document {
        r#type: format!("urn:boxoffice:problem:{}", failure.reason),
        title: failure.reason.replace('_', " ").to_lowercase(),
        status: status.as_u16(),
        code: &failure.reason,
        detail: told(failure),
        correlation_id: CORRELATION.try_with(ToString::to_string).ok(),
        errors: errors.collect(),
        metadata: &failure.metadata,
    };
    // Texts and numbers always have a JSON form.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// What the client is told: never an internal text. That goes to the log.
fn told(failure: &Failure) -> &str {
    match failure.code {
        Code::Internal => {
            tracing::error!(reason = %failure.reason, detail = failure.detail, "internal fault");
            FAULT
        }
        Code::Unavailable if failure.reason == "UNAVAILABLE" => {
            tracing::warn!(detail = failure.detail, "unavailable");
            DOWN
        }
        _ => &failure.detail,
    }
}

fn status(failure: &Failure) -> StatusCode {
    match (failure.code, &*failure.reason) {
        (Code::Invalid, PAYLOAD_TOO_LARGE) => StatusCode::PAYLOAD_TOO_LARGE,
        (Code::Invalid, UNSUPPORTED_MEDIA_TYPE) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        (Code::Invalid, METHOD_NOT_ALLOWED) => StatusCode::METHOD_NOT_ALLOWED,
        (Code::Invalid, _) if failure.fields.is_empty() => StatusCode::BAD_REQUEST,
        (Code::Invalid, _) => StatusCode::UNPROCESSABLE_ENTITY,
        (Code::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (Code::Forbidden, _) => StatusCode::FORBIDDEN,
        (Code::NotFound, _) => StatusCode::NOT_FOUND,
        (Code::Conflict, _) => StatusCode::CONFLICT,
        (Code::Stale, _) => StatusCode::PRECONDITION_FAILED,
        (Code::Exhausted, _) => StatusCode::TOO_MANY_REQUESTS,
        (Code::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Code::Deadline, _) => StatusCode::GATEWAY_TIMEOUT,
        (Code::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
