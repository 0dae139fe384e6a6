//! What operators see and do.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use platform::http::{Json, Path, Problem, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::{
    auth::v1::{SetRoleRequest, client::AuthServiceClient},
    booking::v1::{ListDeadLettersRequest, RetryDeadLetterRequest, client::BookingServiceClient},
    email_worker::v1::{self as mail, client::EmailWorkerServiceClient},
    kernel::v1::Page,
    realtime::v1::{GetConnectionStatsRequest, client::RealtimeServiceClient},
};

use super::refused;
use crate::{
    app::App,
    caller::SignedIn,
    page::{List, PageQuery},
    shapes::{
        account::{Account, SetRole},
        at,
        booking::{DeadLetter, RetryDeadLetter},
        moment, some, word,
    },
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(set_role))
        .routes(routes!(dead_letters))
        .routes(routes!(retry_dead_letter))
        .routes(routes!(list_mails))
        .routes(routes!(get_mail))
        .routes(routes!(retry_mail))
        .routes(routes!(connections))
}

/// Gives an account another role; its sessions end.
#[utoipa::path(
    put, path = "/api/v1/admin/accounts/{account_id}/role", tag = "admin",
    security(("bearer" = [])), params(("account_id" = String, Path)), request_body = SetRole,
    responses(
        (status = 200, body = Account), (status = 401), (status = 403), (status = 404),
        (status = 422)
    )
)]
async fn set_role(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(account_id): Path<String>,
    Json(SetRole { role }): Json<SetRole>,
) -> Result<Json<Account>, Problem> {
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    let account = client.set_role(SetRoleRequest { account_id, role }).await.map_err(refused)?;
    Ok(Json(account.into_inner().into()))
}

/// Steps of bookings that keep failing.
#[utoipa::path(
    get, path = "/api/v1/admin/dead-letters", tag = "admin", security(("bearer" = [])),
    params(PageQuery),
    responses(
        (status = 200, body = List<DeadLetter>), (status = 401), (status = 403)
    )
)]
async fn dead_letters(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Query(page): Query<PageQuery>,
) -> Result<List<DeadLetter>, Problem> {
    let request = ListDeadLettersRequest { page: Some(page.to_wire()) };
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let letters = client.list_dead_letters(request).await.map_err(refused)?.into_inner();
    let items = letters.dead_letters.into_iter().map(Into::into).collect();
    let limit = page.limit.to_string();
    let path = "/api/v1/admin/dead-letters";
    Ok(List::new(items, letters.next_cursor, path, &[("limit", &limit)]))
}

/// Has a dead letter tried again.
#[utoipa::path(
    post, path = "/api/v1/admin/dead-letters/retry", tag = "admin", security(("bearer" = [])),
    request_body = RetryDeadLetter,
    responses(
        (status = 204), (status = 401), (status = 403), (status = 404)
    )
)]
async fn retry_dead_letter(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Json(RetryDeadLetter { booking_id, step }): Json<RetryDeadLetter>,
) -> Result<StatusCode, Problem> {
    let mut client = BookingServiceClient::new(app.booking.with(&context));
    let request = RetryDeadLetterRequest { booking_id, step };
    client.retry_dead_letter(request).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Serialize, ToSchema)]
struct Mail {
    mail_id: String,
    to: String,
    subject: String,
    template: String,
    /// pending, processing, sent, failed or cancelled.
    status: String,
    /// Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    sent_at: Option<String>,
}

impl From<mail::Mail> for Mail {
    fn from(mail: mail::Mail) -> Self {
        Self {
            status: word(mail.status().as_str_name(), "MAIL_STATUS_"),
            mail_id: mail.mail_id,
            to: mail.to,
            subject: mail.subject,
            template: mail.template,
            html: some(mail.html),
            text: some(mail.text),
            attempts: mail.attempts,
            last_error: some(mail.last_error),
            created_at: at(mail.created_at_us),
            sent_at: moment(mail.sent_at_us),
        }
    }
}

/// Which mails.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct MailsQuery {
    /// The most items, 1 to 100; 20 where nothing is said.
    limit: u32,
    /// As the page before gave it.
    cursor: String,
    /// Only to this address.
    to: String,
}

/// Mails, newest first.
#[utoipa::path(
    get, path = "/api/v1/admin/mails", tag = "admin", security(("bearer" = [])),
    params(MailsQuery), responses((status = 200, body = List<Mail>), (status = 401), (status = 403))
)]
async fn list_mails(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Query(MailsQuery { limit, cursor, to }): Query<MailsQuery>,
) -> Result<List<Mail>, Problem> {
    let page = Some(Page { limit, cursor });
    let mut client = EmailWorkerServiceClient::new(app.email_worker.with(&context));
    let mails = client.list_mails(mail::ListMailsRequest { page, to: to.clone() }).await;
    let mails = mails.map_err(refused)?.into_inner();
    let items = mails.mails.into_iter().map(Into::into).collect();
    let kept = [("limit", limit.to_string()), ("to", to)];
    let kept = kept.each_ref().map(|(key, value)| (*key, value.as_str()));
    Ok(List::new(items, mails.next_cursor, "/api/v1/admin/mails", &kept))
}

/// A mail.
#[utoipa::path(
    get, path = "/api/v1/admin/mails/{mail_id}", tag = "admin", security(("bearer" = [])),
    params(("mail_id" = String, Path)),
    responses((status = 200, body = Mail), (status = 401), (status = 403), (status = 404))
)]
async fn get_mail(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(mail_id): Path<String>,
) -> Result<Json<Mail>, Problem> {
    let mut client = EmailWorkerServiceClient::new(app.email_worker.with(&context));
    let mail = client.get_mail(mail::GetMailRequest { mail_id }).await.map_err(refused)?;
    Ok(Json(mail.into_inner().into()))
}

/// Has a mail that was given up tried again.
#[utoipa::path(
    post, path = "/api/v1/admin/mails/{mail_id}/retry", tag = "admin",
    security(("bearer" = [])), params(("mail_id" = String, Path)),
    responses(
        (status = 200, body = Mail), (status = 401), (status = 403), (status = 404), (status = 409)
    )
)]
async fn retry_mail(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
    Path(mail_id): Path<String>,
) -> Result<Json<Mail>, Problem> {
    let mut client = EmailWorkerServiceClient::new(app.email_worker.with(&context));
    let mail = client.retry_mail(mail::RetryMailRequest { mail_id }).await.map_err(refused)?;
    Ok(Json(mail.into_inner().into()))
}

/// Live connections of one realtime-service.
#[derive(Debug, Serialize, ToSchema)]
struct Connections {
    total: u32,
    authenticated: u32,
    anonymous: u32,
    rooms: u32,
    sent: u64,
    received: u64,
}

/// How many are connected.
#[utoipa::path(
    get, path = "/api/v1/admin/realtime", tag = "admin", security(("bearer" = [])),
    responses((status = 200, body = Connections), (status = 401), (status = 403))
)]
async fn connections(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
) -> Result<Json<Connections>, Problem> {
    let mut client = RealtimeServiceClient::new(app.realtime.with(&context));
    let stats = client.get_connection_stats(GetConnectionStatsRequest {}).await;
    let stats = stats.map_err(refused)?.into_inner();
    Ok(Json(Connections {
        total: stats.total,
        authenticated: stats.authenticated,
        anonymous: stats.anonymous,
        rooms: stats.rooms,
        sent: stats.sent,
        received: stats.received,
    }))
}
