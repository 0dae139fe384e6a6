//! The faces that every service has: `/health`, `/ready`, `/metrics`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use futures_util::future::join_all;
use serde_json::json;

use crate::{Metrics, Probe, Tasks, Unit};

/// After how long a part that does not answer counts as down.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

struct Faces {
    name: &'static str,
    probes: Vec<(&'static str, Probe)>,
    metrics: Metrics,
    tracked: Tasks,
}

/// `/health` (alive), `/ready` (truthful: asks the probes), `/metrics`.
pub fn faces(unit: &Unit) -> Router {
    let faces = Arc::new(Faces {
        name: unit.name,
        probes: unit.probes.clone(),
        metrics: unit.metrics.clone(),
        tracked: unit.tracked.clone(),
    });
    Router::new()
        .route("/health", get(async || Json(json!({ "status": "up" }))))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(faces)
}

/// Ready if every part answers in time and the service is not about to stop. Which part is down is
/// told, why is logged.
async fn ready(State(faces): State<Arc<Faces>>) -> impl IntoResponse {
    let asked = faces.probes.iter().map(async |(part, probe)| {
        let up = match tokio::time::timeout(PROBE_LIMIT, probe()).await {
            Ok(Ok(())) => true,
            Ok(Err(detail)) => {
                tracing::warn!(service = faces.name, part, detail, "part is down");
                false
            }
            Err(_) => {
                tracing::warn!(service = faces.name, part, "part does not answer");
                false
            }
        };
        (*part, up)
    });
    let mut parts = join_all(asked).await;
    if faces.tracked.stopping().is_cancelled() {
        parts.push(("lifecycle", false));
    }
    let up = parts.iter().all(|(_, up)| *up);
    let status = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |up| if up { "up" } else { "down" };
    let parts = parts.iter().map(|(part, up)| json!({ "name": part, "status": word(*up) }));
    let parts: Vec<_> = parts.collect();
    (status, Json(json!({ "status": word(up), "parts": parts })))
}

async fn metrics(State(faces): State<Arc<Faces>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], faces.metrics.encode())
}
