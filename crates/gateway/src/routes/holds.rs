//! Holds: places set aside before there is a booking.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use platform::http::{Json, Path, Problem};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::booking::v1::{self as pb, client::BookingServiceClient};

use super::refused;
use crate::{
    app::App,
    caller::SignedIn,
    shapes::booking::{Hold, HoldPlaces, checked},
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(hold_places, release_places))
}

/// Holds places, all or none, under an id that the caller makes: a UUIDv7. A repeat gets the same
/// hold. A booking that names it is made of it, and bears its id.
#[utoipa::path(
    put, path = "/api/v1/holds/{hold_id}", tag = "bookings", security(("bearer" = [])),
    params(("hold_id" = String, Path)), request_body = HoldPlaces,
    responses(
        (status = 200, body = Hold), (status = 401), (status = 403), (status = 404),
        (status = 409), (status = 422), (status = 429), (status = 503)
    )
)]
async fn hold_places(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(hold_id): Path<String>,
    Json(wanted): Json<HoldPlaces>,
) -> Result<Json<Hold>, Problem> {
    let request = pb::HoldPlacesRequest {
        hold_id,
        event_id: wanted.event_id,
        choice: Some(checked(wanted.choice)?),
        admission_token: wanted.admission_token,
    };
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let held = client.hold_places(request).await.map_err(refused)?;
    Ok(Json(held.into_inner().into()))
}

/// Gives the places of a hold back. Of one that is over, or was made a booking, there is nothing
/// to give back.
#[utoipa::path(
    delete, path = "/api/v1/holds/{hold_id}", tag = "bookings", security(("bearer" = [])),
    params(("hold_id" = String, Path)),
    responses((status = 204), (status = 401), (status = 409), (status = 422))
)]
async fn release_places(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(hold_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    client.release_places(pb::ReleasePlacesRequest { hold_id }).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}
