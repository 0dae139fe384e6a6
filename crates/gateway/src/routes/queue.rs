//! The waiting queue of an event.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use kernel::Failure;
use platform::http::{Json, Path, Problem};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::booking_worker::v1::{self as pb, client::BookingWorkerServiceClient};

use super::refused;
use crate::{
    app::App,
    caller::{Asked, SignedIn},
    shapes::{
        booking::checked,
        queue::{JoinQueue, Place, Queue},
    },
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(get_queue, join_queue))
        .routes(routes!(my_place, leave_queue))
}

/// How the queue is doing.
#[utoipa::path(
    get, path = "/api/v1/events/{event_id}/queue", tag = "queue",
    params(("event_id" = String, Path)),
    responses((status = 200, body = Queue), (status = 404))
)]
async fn get_queue(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Path(event_id): Path<String>,
) -> Result<Json<Queue>, Problem> {
    let mut client = BookingWorkerServiceClient::new(app.booking_worker.with(&context));
    let queue = client.get_queue(pb::GetQueueRequest { event_id }).await.map_err(refused)?;
    Ok(Json(queue.into_inner().into()))
}

/// Takes a place, or finds the one that is there: one an account.
#[utoipa::path(
    post, path = "/api/v1/events/{event_id}/queue", tag = "queue", security(("bearer" = [])),
    params(("event_id" = String, Path)), request_body = JoinQueue,
    responses((status = 201, body = Place), (status = 401), (status = 409), (status = 429))
)]
async fn join_queue(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(event_id): Path<String>,
    Json(JoinQueue { wish }): Json<JoinQueue>,
) -> Result<(StatusCode, Json<Place>), Problem> {
    let wish = wish.map(checked).transpose()?;
    let mut client = BookingWorkerServiceClient::new(app.booking_worker.with(&context));
    let place = client.join_queue(pb::JoinQueueRequest { event_id, wish }).await;
    Ok((StatusCode::CREATED, Json(place.map_err(refused)?.into_inner().into())))
}

/// One's own place.
#[utoipa::path(
    get, path = "/api/v1/events/{event_id}/queue/place", tag = "queue",
    security(("bearer" = [])), params(("event_id" = String, Path)),
    responses((status = 200, body = Place), (status = 401), (status = 404))
)]
async fn my_place(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(event_id): Path<String>,
) -> Result<Json<Place>, Problem> {
    let mut client = BookingWorkerServiceClient::new(app.booking_worker.with(&context));
    let place = client.get_place(pb::GetPlaceRequest { event_id }).await.map_err(refused)?;
    Ok(Json(place.into_inner().into()))
}

/// Gives one's own place up.
#[utoipa::path(
    delete, path = "/api/v1/events/{event_id}/queue/place", tag = "queue",
    security(("bearer" = [])), params(("event_id" = String, Path)),
    responses((status = 204), (status = 401), (status = 404))
)]
async fn leave_queue(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(event_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let mut client = BookingWorkerServiceClient::new(app.booking_worker.with(&context));
    let left = client.leave_queue(pb::LeaveQueueRequest { event_id }).await.map_err(refused)?;
    if left.into_inner().left {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Failure::not_found("place").into())
}
