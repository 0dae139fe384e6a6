//! Venues.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use platform::http::{Json, Path, Problem, Query};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::event::v1::{self as pb, client::EventServiceClient};

use super::refused;
use crate::{
    app::App,
    caller::SignedIn,
    page::{List, PageQuery},
    shapes::event::{NewVenue, Venue},
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create_venue, list_venues)).routes(routes!(get_venue))
}

/// Makes a venue with its seating plan.
#[utoipa::path(
    post, path = "/api/v1/venues", tag = "venues", security(("bearer" = [])),
    request_body = NewVenue,
    responses((status = 201, body = Venue), (status = 401), (status = 403), (status = 422))
)]
async fn create_venue(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Json(venue): Json<NewVenue>,
) -> Result<(StatusCode, Json<Venue>), Problem> {
    let request = pb::CreateVenueRequest {
        name: venue.name,
        address: venue.address,
        city: venue.city,
        country: venue.country,
        time_zone: venue.time_zone,
        plan: Some(venue.plan.into()),
        organization_id: venue.organization_id,
    };
    let mut client = EventServiceClient::new(app.event.with(&context));
    let venue = client.create_venue(request).await.map_err(refused)?.into_inner();
    Ok((StatusCode::CREATED, Json(venue.into())))
}

/// The organization's venues, without their plans.
#[utoipa::path(
    get, path = "/api/v1/venues", tag = "venues", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Venue>), (status = 401))
)]
async fn list_venues(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<List<Venue>, Problem> {
    let request = pb::ListVenuesRequest { page: Some(page.to_wire()) };
    let mut client = EventServiceClient::new(app.event.with(&context));
    let venues = client.list_venues(request).await.map_err(refused)?.into_inner();
    let items = venues.venues.into_iter().map(Into::into).collect();
    let limit = page.limit.to_string();
    Ok(List::new(items, venues.next_cursor, "/api/v1/venues", &[("limit", &limit)]))
}

/// A venue with its plan.
#[utoipa::path(
    get, path = "/api/v1/venues/{venue_id}", tag = "venues", security(("bearer" = [])),
    params(("venue_id" = String, Path)),
    responses((status = 200, body = Venue), (status = 401), (status = 404))
)]
async fn get_venue(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(venue_id): Path<String>,
) -> Result<Json<Venue>, Problem> {
    let mut client = EventServiceClient::new(app.event.with(&context));
    let venue = client.get_venue(pb::GetVenueRequest { venue_id }).await.map_err(refused)?;
    Ok(Json(venue.into_inner().into()))
}
