//! Who asks: verified once, from the bearer token; and what a request brings besides its body.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use kernel::{AccountId, Caller, Failure};
use platform::http::{Problem, context};
use wire::Context;

use crate::app::App;

/// The context of a request: of an account, or of a visitor.
pub(crate) struct Asked(pub Context);

/// The context of a request that is answered alike whoever asks: a token is not looked at.
pub(crate) struct Anybody(pub Context);

/// The context of a request of a signed-in account, and the account.
pub(crate) struct SignedIn(pub Context, pub AccountId);

/// The `Idempotency-Key` of a request.
pub(crate) struct IdempotencyKey(pub String);

/// The version in `If-Match`, or 0 without one.
pub(crate) struct IfMatch(pub i64);

/// The caller, as the limiter left it or as the token says.
pub(crate) async fn caller(app: &App, parts: &Parts) -> Result<Caller, Failure> {
    match parts.extensions.get::<Caller>() {
        Some(caller) => Ok(caller.clone()),
        None => verified(app, &parts.headers).await,
    }
}

/// Verifies the bearer token, if there is one.
pub(crate) async fn verified(app: &App, headers: &HeaderMap) -> Result<Caller, Failure> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Ok(Caller::Anonymous);
    };
    app.access.caller(Some(authorization.to_str().unwrap_or_default())).await
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = caller(app, parts).await?;
        Ok(Self(context(parts, caller)))
    }
}

impl<S: Sync> FromRequestParts<S> for Anybody {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(context(parts, Caller::Anonymous)))
    }
}

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Asked(context) = Asked::from_request_parts(parts, app).await?;
        let account = context.caller.account()?;
        Ok(Self(context, account))
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        const NAME: HeaderName = HeaderName::from_static("idempotency-key");
        let key = parts.headers.get(NAME).and_then(|value| value.to_str().ok()).unwrap_or("");
        let printable = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let too_long = key.len() > platform::idempotency::MAX_KEY_BYTES;
        if key.trim().is_empty() || !printable || too_long {
            let detail = "the header Idempotency-Key is required: 1 to 255 printable characters";
            return Err(Failure::invalid("Idempotency-Key", detail).into());
        }
        Ok(Self(key.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(0)) };
        let version = value.to_str().ok().map(|value| value.trim().trim_matches('"'));
        match version {
            Some("*") => Ok(Self(0)),
            Some(version) => match version.parse() {
                Ok(version) if version > 0 => Ok(Self(version)),
                _ => Err(Failure::invalid("If-Match", "not an ETag of ours").into()),
            },
            None => Err(Failure::invalid("If-Match", "not an ETag of ours").into()),
        }
    }
}
