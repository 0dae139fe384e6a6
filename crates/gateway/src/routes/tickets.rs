//! Tickets: their holders' and the door's.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use fast_qr::{convert::svg::SvgBuilder, qr::QRBuilder};
use kernel::Failure;
use platform::http::{Json, Path, Problem, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::{
    kernel::v1::Page,
    ticket::v1::{self as pb, client::TicketServiceClient},
};

use super::refused;
use crate::{
    app::App,
    caller::{Asked, SignedIn},
    page::List,
    shapes::{
        some,
        ticket::{SigningKey, Ticket, UseTicket, ValidateTicket, Validated},
    },
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_tickets))
        .routes(routes!(signing_keys))
        .routes(routes!(validate_ticket))
        .routes(routes!(use_ticket))
        .routes(routes!(get_ticket))
        .routes(routes!(ticket_qr))
}

/// Which tickets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct TicketsQuery {
    /// The most items, 1 to 100; 20 where nothing is said.
    limit: u32,
    /// As the page before gave it.
    cursor: String,
    /// Only of this booking.
    booking_id: String,
}

/// One's own tickets, newest first.
#[utoipa::path(
    get, path = "/api/v1/tickets", tag = "tickets", security(("bearer" = [])),
    params(TicketsQuery), responses((status = 200, body = List<Ticket>), (status = 401))
)]
async fn list_tickets(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Query(TicketsQuery { limit, cursor, booking_id }): Query<TicketsQuery>,
) -> Result<List<Ticket>, Problem> {
    let page = Some(Page { limit, cursor });
    let request = pb::ListTicketsRequest { page, booking_id: booking_id.clone() };
    let mut client = TicketServiceClient::new(app.ticket.with(&context));
    let tickets = client.list_tickets(request).await.map_err(refused)?.into_inner();
    let items = tickets.tickets.into_iter().map(Into::into).collect();
    let limit = limit.to_string();
    let kept = [("limit", limit.as_str()), ("booking_id", &booking_id)];
    Ok(List::new(items, tickets.next_cursor, "/api/v1/tickets", &kept))
}

/// A ticket.
#[utoipa::path(
    get, path = "/api/v1/tickets/{ticket_id}", tag = "tickets", security(("bearer" = [])),
    params(("ticket_id" = String, Path)),
    responses((status = 200, body = Ticket), (status = 401), (status = 404))
)]
async fn get_ticket(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(ticket_id): Path<String>,
) -> Result<Json<Ticket>, Problem> {
    let mut client = TicketServiceClient::new(app.ticket.with(&context));
    let ticket = client.get_ticket(pb::GetTicketRequest { ticket_id }).await.map_err(refused)?;
    Ok(Json(ticket.into_inner().into()))
}

/// A ticket's QR code, as a picture.
#[utoipa::path(
    get, path = "/api/v1/tickets/{ticket_id}/qr.svg", tag = "tickets",
    security(("bearer" = [])), params(("ticket_id" = String, Path)),
    responses((status = 200, content_type = "image/svg+xml"), (status = 401), (status = 404))
)]
async fn ticket_qr(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(ticket_id): Path<String>,
) -> Result<Response, Problem> {
    let mut client = TicketServiceClient::new(app.ticket.with(&context));
    let ticket = client.get_ticket(pb::GetTicketRequest { ticket_id }).await.map_err(refused)?;
    let code = ticket.into_inner().code;
    if code.is_empty() {
        return Err(Failure::forbidden("the code is for the holder of the ticket").into());
    }
    let qr = QRBuilder::new(code).build();
    let qr = qr.map_err(|error| Failure::internal(format!("{error:?}")))?;
    let svg = SvgBuilder::default().to_str(&qr);
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "private")];
    Ok((headers, svg).into_response())
}

/// Says whether a code would be let in.
#[utoipa::path(
    post, path = "/api/v1/tickets/validate", tag = "tickets", security(("bearer" = [])),
    request_body = ValidateTicket,
    responses((status = 200, body = Validated), (status = 401), (status = 403))
)]
async fn validate_ticket(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Json(ValidateTicket { code, event_id }): Json<ValidateTicket>,
) -> Result<Json<Validated>, Problem> {
    let mut client = TicketServiceClient::new(app.ticket.with(&context));
    let request = pb::ValidateTicketRequest { code, event_id };
    let validated = client.validate_ticket(request).await.map_err(refused)?.into_inner();
    Ok(Json(Validated {
        valid: validated.valid,
        reason: some(validated.reason),
        ticket: validated.ticket.map(Into::into),
    }))
}

/// Lets a ticket in, once.
#[utoipa::path(
    post, path = "/api/v1/tickets/use", tag = "tickets", security(("bearer" = [])),
    request_body = UseTicket,
    responses(
        (status = 200, body = Ticket), (status = 401), (status = 403), (status = 409),
        (status = 422)
    )
)]
async fn use_ticket(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Json(UseTicket { code, event_id, gate }): Json<UseTicket>,
) -> Result<Json<Ticket>, Problem> {
    let mut client = TicketServiceClient::new(app.ticket.with(&context));
    let ticket = client.use_ticket(pb::UseTicketRequest { code, event_id, gate }).await;
    Ok(Json(ticket.map_err(refused)?.into_inner().into()))
}

/// The public keys that verify codes offline.
#[utoipa::path(
    get, path = "/api/v1/tickets/keys", tag = "tickets",
    responses((status = 200, body = List<SigningKey>))
)]
async fn signing_keys(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
) -> Result<List<SigningKey>, Problem> {
    let mut client = TicketServiceClient::new(app.ticket.with(&context));
    let keys = client.get_signing_keys(pb::GetSigningKeysRequest {}).await.map_err(refused)?;
    let items = keys.into_inner().keys.into_iter().map(Into::into).collect();
    Ok(List::new(items, String::new(), "", &[]))
}
