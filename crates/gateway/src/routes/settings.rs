//! What a client needs to go on beside the gateway.

use std::sync::Arc;

use axum::extract::State;
use platform::http::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(settings))
}

#[derive(Debug, Serialize, ToSchema)]
struct ClientSettings {
    /// WebSocket address of live updates.
    #[schema(example = "ws://127.0.0.1:3003/ws")]
    realtime_url: String,
    payment: PaymentSettings,
}

#[derive(Debug, Serialize, ToSchema)]
struct PaymentSettings {
    #[schema(example = "stripe")]
    provider: &'static str,
    /// With which a browser speaks to the provider.
    publishable_key: String,
    /// The provider's address.
    api_base: String,
}

/// Where else to go.
#[utoipa::path(
    get, path = "/api/v1/settings", tag = "settings",
    responses((status = 200, body = ClientSettings))
)]
async fn settings(State(app): State<Arc<App>>) -> Json<ClientSettings> {
    Json(ClientSettings {
        realtime_url: app.config.realtime_url.clone(),
        payment: PaymentSettings {
            provider: "stripe",
            publishable_key: app.config.payment_publishable_key.clone(),
            api_base: app.config.payment_api_base.clone(),
        },
    })
}
