//! Events: made and published by organizations, read by everybody.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use platform::http::{Json, Path, Problem, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::{
    event::v1::{self as pb, client::EventServiceClient},
    kernel::v1::Page,
    ticket::v1::{GetAvailabilityRequest, client::TicketServiceClient},
};

use super::{refused, tagged};
use crate::{
    app::App,
    caller::{Asked, IfMatch, SignedIn},
    page::List,
    shapes::{
        availability::Availability,
        event::{EditEvent, Event, NewEvent, SeatingPlan},
    },
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_event, list_events))
        .routes(routes!(get_event, edit_event))
        .routes(routes!(publish_event))
        .routes(routes!(seating_plan))
        .routes(routes!(availability))
}

/// Makes a draft.
#[utoipa::path(
    post, path = "/api/v1/events", tag = "events", security(("bearer" = [])),
    request_body = NewEvent,
    responses((status = 201, body = Event), (status = 401), (status = 403), (status = 422))
)]
async fn create_event(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Json(event): Json<NewEvent>,
) -> Result<(StatusCode, Response), Problem> {
    let request = pb::CreateEventRequest::try_from(event)?;
    let mut client = EventServiceClient::new(app.event.with(&context));
    let event = client.create_event(request).await.map_err(refused)?.into_inner();
    Ok((StatusCode::CREATED, answer(event)))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// The most items, 1 to 100; 20 where nothing is said.
    limit: u32,
    /// As the page before gave it.
    cursor: String,
    /// Words of the name or city.
    query: String,
    /// The own organization's, drafts too.
    mine: bool,
}

/// Events on sale, soonest first.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", params(EventsQuery),
    responses((status = 200, body = List<Event>), (status = 422))
)]
async fn list_events(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Query(wanted): Query<EventsQuery>,
) -> Result<List<Event>, Problem> {
    let EventsQuery { limit, cursor, query, mine } = wanted;
    let page = Some(Page { limit, cursor });
    let request = pb::ListEventsRequest { page, mine, query: query.clone() };
    let mut client = EventServiceClient::new(app.event.with(&context));
    let events = client.list_events(request).await.map_err(refused)?.into_inner();
    let items = events.events.into_iter().map(Into::into).collect();
    let (limit, mine) = (limit.to_string(), if mine { "true" } else { "" });
    let kept = [("limit", limit.as_str()), ("query", &query), ("mine", mine)];
    Ok(List::new(items, events.next_cursor, "/api/v1/events", &kept))
}

/// An event.
#[utoipa::path(
    get, path = "/api/v1/events/{event_id}", tag = "events", params(("event_id" = String, Path)),
    responses((status = 200, body = Event), (status = 404))
)]
async fn get_event(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Path(event_id): Path<String>,
) -> Result<Response, Problem> {
    let mut client = EventServiceClient::new(app.event.with(&context));
    let event = client.get_event(pb::GetEventRequest { event_id }).await.map_err(refused)?;
    Ok(answer(event.into_inner()))
}

/// Changes an event; after publication only its words, sale times, limits and prices.
#[utoipa::path(
    patch, path = "/api/v1/events/{event_id}", tag = "events", security(("bearer" = [])),
    params(
        ("event_id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "ETag that was read")
    ),
    request_body = EditEvent,
    responses(
        (status = 200, body = Event), (status = 401), (status = 404), (status = 409), (status = 412)
    )
)]
async fn edit_event(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(event_id): Path<String>,
    IfMatch(version): IfMatch,
    Json(edit): Json<EditEvent>,
) -> Result<Response, Problem> {
    let request = edit.into_wire(event_id, version)?;
    let mut client = EventServiceClient::new(app.event.with(&context));
    Ok(answer(client.update_event(request).await.map_err(refused)?.into_inner()))
}

/// Puts a draft on sale.
#[utoipa::path(
    post, path = "/api/v1/events/{event_id}/publish", tag = "events", security(("bearer" = [])),
    params(("event_id" = String, Path)),
    responses((status = 200, body = Event), (status = 401), (status = 404), (status = 422))
)]
async fn publish_event(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(event_id): Path<String>,
) -> Result<Response, Problem> {
    let mut client = EventServiceClient::new(app.event.with(&context));
    let event = client.publish_event(pb::PublishEventRequest { event_id }).await;
    Ok(answer(event.map_err(refused)?.into_inner()))
}

/// The hall as it was published.
#[utoipa::path(
    get, path = "/api/v1/events/{event_id}/seating-plan", tag = "events",
    params(("event_id" = String, Path)),
    responses((status = 200, body = SeatingPlan), (status = 404))
)]
async fn seating_plan(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Path(event_id): Path<String>,
) -> Result<Json<SeatingPlan>, Problem> {
    let mut client = EventServiceClient::new(app.event.with(&context));
    let plan = client.get_seating_plan(pb::GetSeatingPlanRequest { event_id }).await;
    Ok(Json(plan.map_err(refused)?.into_inner().into()))
}

/// How much of what is free.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct AvailabilityQuery {
    /// Leave out the lists of seats.
    counts_only: bool,
}

/// What is free, section by section.
#[utoipa::path(
    get, path = "/api/v1/events/{event_id}/availability", tag = "events",
    params(("event_id" = String, Path), AvailabilityQuery),
    responses((status = 200, body = Availability), (status = 404))
)]
async fn availability(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Path(event_id): Path<String>,
    Query(AvailabilityQuery { counts_only }): Query<AvailabilityQuery>,
) -> Result<Json<Availability>, Problem> {
    let mut client = TicketServiceClient::new(app.ticket.with(&context));
    let request = GetAvailabilityRequest { event_id, counts_only };
    let availability = client.get_availability(request).await.map_err(refused)?;
    Ok(Json(availability.into_inner().into()))
}

fn answer(event: pb::Event) -> Response {
    tagged(event.version, Json(Event::from(event)))
}
