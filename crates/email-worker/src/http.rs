//! The HTTP face beside health and metrics: how the mail queue is doing.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use platform::http::Problem;
use serde_json::{Value, json};

use crate::{app::App, error::Error, store};

pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new().route("/queue/size", get(queue_size)).with_state(app)
}

async fn queue_size(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let (waiting, failed) = app
        .db
        .view(|tx| Box::pin(async move { Ok::<_, Error>(store::waiting(tx).await?) }))
        .await?;
    Ok(Json(json!({ "waiting": waiting, "failed": failed })))
}
