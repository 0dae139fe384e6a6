//! The HTTP face: the service's own REST, the actuator's aliases, and where the provider sends its
//! webhooks.

mod payments;

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use platform::http::Problem;

use crate::{app::App, ops};

/// The service's own routes.
pub(crate) fn routes(app: Arc<App>) -> Router {
    let webhooks = Router::new()
        .route("/webhooks/stripe", post(stripe))
        .layer(DefaultBodyLimit::max(ops::MAX_WEBHOOK));
    Router::new()
        .merge(payments::routes())
        .merge(webhooks)
        .route("/actuator/health", get(health))
        .route("/actuator/prometheus", get(prometheus))
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

async fn health() -> impl IntoResponse {
    axum::Json(serde_json::json!({ "status": "UP" }))
}

async fn prometheus(State(app): State<Arc<App>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.encode())
}
