//! Bookings.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use platform::http::{Json, Path, Problem, Query};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::booking::v1::{self as pb, client::BookingServiceClient};

use super::{refused, tagged};
use crate::{
    app::App,
    caller::{IdempotencyKey, SignedIn},
    overload::Behind,
    page::{List, PageQuery},
    shapes::booking::{Booking, CancelBooking, OpenBooking, Transition, checked},
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(open_booking, list_bookings))
        .routes(routes!(get_booking))
        .routes(routes!(get_history))
        .routes(routes!(cancel_booking))
}

/// Opens a booking: holds the places and asks for payment.
#[utoipa::path(
    post, path = "/api/v1/bookings", tag = "bookings", security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "one effect a key")),
    request_body = OpenBooking,
    responses(
        (status = 201, body = Booking), (status = 401), (status = 403), (status = 404),
        (status = 409), (status = 422), (status = 429), (status = 503)
    )
)]
async fn open_booking(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Json(wanted): Json<OpenBooking>,
) -> Result<(StatusCode, Response), Problem> {
    let request = pb::OpenBookingRequest {
        event_id: wanted.event_id,
        choice: Some(checked(wanted.choice)?),
        idempotency_key,
        admission_token: wanted.admission_token,
        account_id: String::new(),
        hold_id: wanted.hold_id,
    };
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let opened = client.open_booking(request).await.map_err(refused)?;
    let behind = Behind(wire::behind(&opened));
    let mut answer = answer(opened.into_inner());
    answer.extensions_mut().insert(behind);
    Ok((StatusCode::CREATED, answer))
}

/// One's own bookings, newest first.
#[utoipa::path(
    get, path = "/api/v1/bookings", tag = "bookings", security(("bearer" = [])),
    params(PageQuery), responses((status = 200, body = List<Booking>), (status = 401))
)]
async fn list_bookings(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<List<Booking>, Problem> {
    let request = pb::ListBookingsRequest { page: Some(page.to_wire()) };
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let bookings = client.list_bookings(request).await.map_err(refused)?.into_inner();
    let items = bookings.bookings.into_iter().map(Into::into).collect();
    let limit = page.limit.to_string();
    Ok(List::new(items, bookings.next_cursor, "/api/v1/bookings", &[("limit", &limit)]))
}

/// A booking.
#[utoipa::path(
    get, path = "/api/v1/bookings/{booking_id}", tag = "bookings", security(("bearer" = [])),
    params(("booking_id" = String, Path)),
    responses((status = 200, body = Booking), (status = 401), (status = 404))
)]
async fn get_booking(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(booking_id): Path<String>,
) -> Result<Response, Problem> {
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let booking = client.get_booking(pb::GetBookingRequest { booking_id }).await;
    Ok(answer(booking.map_err(refused)?.into_inner()))
}

/// Every step a booking took.
#[utoipa::path(
    get, path = "/api/v1/bookings/{booking_id}/history", tag = "bookings",
    security(("bearer" = [])), params(("booking_id" = String, Path)),
    responses((status = 200, body = List<Transition>), (status = 401), (status = 404))
)]
async fn get_history(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(booking_id): Path<String>,
) -> Result<List<Transition>, Problem> {
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let history = client.get_history(pb::GetHistoryRequest { booking_id }).await;
    let transitions = history.map_err(refused)?.into_inner().transitions;
    let items = transitions.into_iter().map(Into::into).collect();
    Ok(List::new(items, String::new(), "", &[]))
}

/// Cancels a booking: places go back, money comes back.
#[utoipa::path(
    post, path = "/api/v1/bookings/{booking_id}/cancel", tag = "bookings",
    security(("bearer" = [])),
    params(
        ("booking_id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "one effect a key")
    ),
    request_body = CancelBooking,
    responses((status = 200, body = Booking), (status = 401), (status = 404), (status = 409))
)]
async fn cancel_booking(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(booking_id): Path<String>,
    // Required of all who move money; a booking is cancelled once, whatever the key.
    _key: IdempotencyKey,
    Json(CancelBooking { reason }): Json<CancelBooking>,
) -> Result<Response, Problem> {
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let booking = client.cancel_booking(pb::CancelBookingRequest { booking_id, reason }).await;
    Ok(answer(booking.map_err(refused)?.into_inner()))
}

fn answer(booking: pb::Booking) -> Response {
    tagged(booking.version, Json(Booking::from(booking)))
}
