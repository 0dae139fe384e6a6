//! Extractors that answer problems naming the field that is wrong.

use std::{borrow::Cow, error::Error};

use axum::{
    extract::{
        FromRequest, FromRequestParts, RawPathParams, Request, path::ErrorKind,
        rejection::PathRejection, rejection::QueryRejection,
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use kernel::{Code, Failure};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::problem::{PAYLOAD_TOO_LARGE, Problem, UNSUPPORTED_MEDIA_TYPE};

/// A JSON body, or a clear problem: 415 without JSON's content type, 400 where it is no JSON, 413
/// where it is too long, 422 where a field is missing, unknown or of the wrong type. As an answer
/// it is plain JSON.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A query string, or a 422 that names the parameter.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The parameters of a path, or a 422 that names the one that is wrong.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must be application/json";
            return Err(Failure::new(Code::Invalid, UNSUPPORTED_MEDIA_TYPE, detail).into());
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Failure::new(Code::Invalid, "BODY_NOT_READ", "the body ended too early"),
        })?;
        Ok(Self(parse(&bytes)?))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let axum::extract::Query(query) = query.map_err(|rejection| wrong_query(&rejection))?;
        Ok(Self(query))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        match path {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => {
                let names = RawPathParams::from_request_parts(parts, state).await;
                let names = names.iter().flatten().map(|(name, _)| name).collect::<Vec<_>>();
                Err(wrong_path(rejection, &names).into())
            }
        }
    }
}

/// The failure of a body that is too long.
pub(super) fn too_large() -> Failure {
    Failure::new(Code::Invalid, PAYLOAD_TOO_LARGE, "the body is too long")
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let malformed = |error: &serde_json::Error| {
        let detail = format!("the body is not valid json: {error}");
        Failure::new(Code::Invalid, "MALFORMED_JSON", detail)
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        match error.inner().classify() {
            serde_json::error::Category::Data => {
                wrong_field(&error.path().to_string(), &error.inner().to_string())
            }
            // Of an enum, the parser calls any other kind of value a mistake in the text.
            _ if serde_json::from_slice::<Value>(bytes).is_ok() => {
                Failure::invalid(error.path().to_string(), "is of the wrong type")
            }
            _ => malformed(error.inner()),
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    // A list would be read as a structure's fields in their order, which nobody may rely on.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Failure::invalid("body", "expected an object"));
    }
    Ok(value)
}

fn wrong_query(rejection: &QueryRejection) -> Failure {
    type Wrong = serde_path_to_error::Error<serde::de::value::Error>;
    let mut cause: Option<&dyn Error> = Some(rejection);
    while let Some(error) = cause {
        if let Some(wrong) = error.downcast_ref::<Wrong>() {
            return wrong_field(&wrong.path().to_string(), &wrong.inner().to_string());
        }
        cause = error.source();
    }
    Failure::invalid("query", "can't be read")
}

fn wrong_path(rejection: PathRejection, names: &[&str]) -> Failure {
    let PathRejection::FailedToDeserializePathParams(wrong) = rejection else {
        return Failure::internal("the route has no such path parameters");
    };
    match wrong.into_kind() {
        ErrorKind::ParseErrorAtKey { key, .. } => Failure::invalid(key, "is not valid"),
        ErrorKind::DeserializeError { key, message, .. } => Failure::invalid(key, message),
        ErrorKind::InvalidUtf8InPathParam { key } => Failure::invalid(key, "is not utf-8"),
        ErrorKind::ParseErrorAtIndex { index, .. } => wrong_name(names.get(index)),
        ErrorKind::ParseError { .. } => wrong_name(names.first()),
        ErrorKind::Message(_) => wrong_name(None),
        kind => Failure::internal(kind),
    }
}

fn wrong_name(name: Option<&&str>) -> Failure {
    Failure::invalid(*name.unwrap_or(&"path"), "is not valid")
}

/// What serde says of a field, with the field's own path: of a missing one serde names only where
/// it is missing.
fn wrong_field(path: &str, said: &str) -> Failure {
    let said = said.rsplit_once(" at line ").map_or(said, |(said, _)| said);
    // Clients know nothing of our types.
    let ours = said.split_once(", expected struct ");
    let said =
        &*ours.map_or(said.into(), |(it, _)| Cow::Owned(format!("{it}, expected an object")));
    let named = said.split('`').nth(1);
    let (path, detail) = match named {
        Some(name) if said.starts_with("missing field") => (below(path, name), "is required"),
        Some(name) if said.starts_with("unknown field") => {
            let parent = path.strip_suffix(name).map_or(path, |path| path.trim_end_matches('.'));
            (below(parent, name), "is not known")
        }
        _ => (path.to_owned(), said),
    };
    Failure::invalid(if path == "." { "body".to_owned() } else { path }, detail)
}

fn below(parent: &str, name: &str) -> String {
    if matches!(parent, "." | "") { name.to_owned() } else { format!("{parent}.{name}") }
}
