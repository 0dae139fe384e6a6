//! The HTTP face: where the provider sends its webhooks.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use platform::http::Problem;

use crate::{app::App, ops};

/// The service's own routes.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/webhooks/stripe", post(stripe))
        .layer(DefaultBodyLimit::max(ops::MAX_WEBHOOK))
        .with_state(app)
}

/// Anything but a 2xx makes the provider send it again.
async fn stripe(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let signature = signature.unwrap_or_default().to_owned();
    let tasks = app.tasks.clone();
    let work = async move { ops::process_webhook(&app, &signature, &body).await };
    tasks.finish(work).await?;
    Ok(StatusCode::OK)
}
