//! The service's own REST face: `/api/bookings` and the actuator's aliases. JSON in, verb, JSON
//! out.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::IntoResponse,
    routing::{get, post},
};
use kernel::{BookingId, Failure, Money, Timestamp};
use platform::http::{Json, Path, Problem, context};
use serde::{Deserialize, Serialize};
use wire::{
    Context,
    pb::{
        booking::v1 as pb,
        kernel::v1::{Choice, choice},
    },
};

use crate::{
    app::App,
    domain::Booking,
    ops::{self, CancelBooking, OpenBooking},
    shapes,
};

/// The routes.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/bookings", post(open_booking))
        .route("/api/bookings/{booking_id}", get(get_booking))
        .route("/api/bookings/{booking_id}/cancel", post(cancel_booking))
        .route("/actuator/health", get(health))
        .route("/actuator/prometheus", get(prometheus))
        .with_state(app)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenBody {
    event_id: String,
    choice: ChoiceBody,
    #[serde(default)]
    admission_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ChoiceBody {
    Seats(Vec<String>),
    BestAvailable {
        quantity: u32,
        #[serde(default)]
        section: String,
        #[serde(default)]
        category: String,
        #[serde(default)]
        wheelchair: u32,
    },
    Admissions {
        section: String,
        quantity: u32,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    reason: String,
}

#[derive(Serialize)]
struct Answer {
    booking_id: String,
    reference: String,
    event_id: String,
    event_name: String,
    status: &'static str,
    payment_status: &'static str,
    total: Option<Amount>,
    places: Vec<PlaceBody>,
    lines: Vec<LineBody>,
    payment_id: Option<String>,
    client_secret: Option<String>,
    reason: Option<String>,
    expires_at: String,
    created_at: String,
    confirmed_at: Option<String>,
    cancelled_at: Option<String>,
    version: i64,
}

#[derive(Serialize)]
struct Amount {
    minor: i64,
    currency: String,
}

#[derive(Serialize)]
struct PlaceBody {
    section: String,
    seat: Option<String>,
    category: String,
    wheelchair: bool,
}

#[derive(Serialize)]
struct LineBody {
    category: String,
    category_name: String,
    quantity: u32,
    unit_price_minor: i64,
}

async fn open_booking(
    State(app): State<Arc<App>>,
    parts: Parts,
    Json(body): Json<OpenBody>,
) -> Result<impl IntoResponse, Problem> {
    let context = caller(&app, &parts).await?;
    let command = OpenBooking {
        event_id: wire::id("event_id", &body.event_id)?,
        choice: wire::choice(Some(&wish(body.choice)))?,
        idempotency_key: idempotency_key(&parts.headers)?,
        admission_token: body.admission_token,
        account_id: None,
        hold_id: None,
    };
    let work = {
        let (app, context) = (app.clone(), context.clone());
        async move { ops::open_booking(&app, &context, command).await }
    };
    let booking = app.tasks.finish(work).await?;
    let location = [(header::LOCATION, format!("/api/bookings/{}", booking.id))];
    Ok((StatusCode::CREATED, location, axum::Json(answer(&context, &booking))))
}

async fn get_booking(
    State(app): State<Arc<App>>,
    Path(booking_id): Path<String>,
    parts: Parts,
) -> Result<impl IntoResponse, Problem> {
    let context = caller(&app, &parts).await?;
    let id: BookingId = wire::id("booking_id", &booking_id)?;
    let booking = ops::get_booking(&app, &context, id).await?;
    Ok(axum::Json(answer(&context, &booking)))
}

async fn cancel_booking(
    State(app): State<Arc<App>>,
    Path(booking_id): Path<String>,
    parts: Parts,
    Json(body): Json<CancelBody>,
) -> Result<impl IntoResponse, Problem> {
    let context = caller(&app, &parts).await?;
    let booking_id: BookingId = wire::id("booking_id", &booking_id)?;
    if body.reason.trim().is_empty() {
        return Err(Failure::invalid("reason", "is required").into());
    }
    let command = CancelBooking { booking_id, reason: body.reason };
    let work = {
        let (app, context) = (app.clone(), context.clone());
        async move { ops::cancel_booking(&app, &context, command).await }
    };
    let booking = app.tasks.finish(work).await?;
    Ok(axum::Json(answer(&context, &booking)))
}

async fn health() -> impl IntoResponse {
    axum::Json(serde_json::json!({ "status": "UP" }))
}

async fn prometheus(State(app): State<Arc<App>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.encode())
}

/// The signed-in account that asks.
async fn caller(app: &App, parts: &Parts) -> Result<Context, Failure> {
    let value = parts.headers.get(header::AUTHORIZATION);
    let value = value.map(|value| value.to_str().unwrap_or_default());
    let caller = app.access.caller(value).await?;
    caller.account()?;
    Ok(context(parts, caller))
}

fn idempotency_key(headers: &HeaderMap) -> Result<String, Failure> {
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap_or_default());
    let key = key.ok_or_else(|| Failure::invalid("Idempotency-Key", "the header is required"))?;
    Ok(key.to_owned())
}

fn wish(body: ChoiceBody) -> Choice {
    let wish = match body {
        ChoiceBody::Seats(seats) => choice::Wish::Seats(choice::Seats { seats }),
        ChoiceBody::BestAvailable { quantity, section, category, wheelchair } => {
            choice::Wish::BestAvailable(choice::BestAvailable {
                quantity,
                section,
                category,
                wheelchair,
            })
        }
        ChoiceBody::Admissions { section, quantity } => {
            choice::Wish::Admissions(choice::Admissions { section, quantity })
        }
    };
    Choice { wish: Some(wish) }
}

fn answer(context: &Context, booking: &Booking) -> Answer {
    let shape: pb::Booking = shapes::booking_for(&context.caller, booking);
    let some = |text: String| (!text.is_empty()).then_some(text);
    let amount = |Money { minor, currency }| Amount { minor, currency: currency.to_string() };
    let time = |at: Timestamp| at.to_string();
    Answer {
        booking_id: shape.booking_id,
        reference: shape.reference,
        event_id: shape.event_id,
        event_name: shape.event_name,
        status: booking.state.status.as_str(),
        payment_status: booking.state.payment.as_str(),
        total: booking.total().map(amount),
        places: shape
            .places
            .into_iter()
            .map(|place| PlaceBody {
                section: place.section,
                seat: some(place.seat),
                category: place.category,
                wheelchair: place.wheelchair,
            })
            .collect(),
        lines: shape
            .lines
            .into_iter()
            .map(|line| LineBody {
                category: line.category,
                category_name: line.category_name,
                quantity: line.quantity,
                unit_price_minor: line.unit_price_minor,
            })
            .collect(),
        payment_id: some(shape.payment_id),
        client_secret: some(shape.client_secret),
        reason: some(shape.reason),
        expires_at: booking.expires_at.to_string(),
        created_at: booking.created_at.to_string(),
        confirmed_at: booking.confirmed_at.map(time),
        cancelled_at: booking.cancelled_at.map(time),
        version: shape.version,
    }
}
