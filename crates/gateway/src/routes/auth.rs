//! Accounts, sessions and keys.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use platform::http::{Json, Problem};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::pb::auth::v1::{self as pb, client::AuthServiceClient};

use super::{json_text, refused};
use crate::{
    app::App,
    caller::{Anybody, Asked, SignedIn},
    shapes::{
        account::{
            Account, Login, Refresh, Register, Registered, ResendVerification, Tokens, VerifyEmail,
        },
        at,
    },
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(verify_email))
        .routes(routes!(resend_verification))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(my_account))
}

pub(super) fn keys() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// Opens an account; a PIN comes by mail.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth", request_body = Register,
    responses((status = 201, body = Registered), (status = 409), (status = 422))
)]
async fn register(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Json(body): Json<Register>,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    let request = pb::RegisterRequest {
        email: body.email,
        password: body.password,
        first_name: body.first_name,
        last_name: body.last_name,
        role: body.role,
        organization_name: body.organization_name,
    };
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    let registered = client.register(request).await.map_err(refused)?.into_inner();
    let answer = Registered {
        account_id: registered.account_id,
        verification_expires_at: at(registered.verification_expires_at_us),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Proves the address with the PIN from the mail.
#[utoipa::path(
    post, path = "/api/v1/auth/verify-email", tag = "auth", request_body = VerifyEmail,
    responses((status = 200, body = Account), (status = 409), (status = 422))
)]
async fn verify_email(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Json(body): Json<VerifyEmail>,
) -> Result<Json<Account>, Problem> {
    let request = pb::VerifyEmailRequest { email: body.email, pin: body.pin };
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    let verified = client.verify_email(request).await.map_err(refused)?.into_inner();
    Ok(Json(verified.account.unwrap_or_default().into()))
}

/// Mails a new PIN; the answer is the same whether or not the address is known.
#[utoipa::path(
    post, path = "/api/v1/auth/resend-verification", tag = "auth",
    request_body = ResendVerification, responses((status = 202))
)]
async fn resend_verification(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Json(body): Json<ResendVerification>,
) -> Result<StatusCode, Problem> {
    let request = pb::ResendVerificationRequest { email: body.email };
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    client.resend_verification(request).await.map_err(refused)?;
    Ok(StatusCode::ACCEPTED)
}

/// Opens a session.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", request_body = Login,
    responses((status = 200, body = Tokens), (status = 401), (status = 403), (status = 429))
)]
async fn login(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Json(body): Json<Login>,
) -> Result<Json<Tokens>, Problem> {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let request = pb::LoginRequest {
        email: body.email,
        password: body.password,
        ip: peer.map(|peer| peer.0.0.ip().to_string()).unwrap_or_default(),
        user_agent: user_agent.unwrap_or_default().to_owned(),
    };
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    let pair = client.login(request).await.map_err(refused)?.into_inner();
    Ok(Json(pair.into()))
}

/// Gives a new pair of tokens for a refresh token, which is used up.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Refresh,
    responses((status = 200, body = Tokens), (status = 401))
)]
async fn refresh(
    State(app): State<Arc<App>>,
    Asked(context): Asked,
    Json(body): Json<Refresh>,
) -> Result<Json<Tokens>, Problem> {
    let request = pb::RefreshRequest { refresh_token: body.refresh_token };
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    let pair = client.refresh(request).await.map_err(refused)?.into_inner();
    Ok(Json(pair.into()))
}

/// Ends the session.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", security(("bearer" = [])),
    responses((status = 204), (status = 401))
)]
async fn logout(
    State(app): State<Arc<App>>,
    SignedIn(context, _): SignedIn,
) -> Result<StatusCode, Problem> {
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    client.logout(pb::LogoutRequest {}).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own account.
#[utoipa::path(
    get, path = "/api/v1/accounts/me", tag = "auth", security(("bearer" = [])),
    responses((status = 200, body = Account), (status = 401))
)]
async fn my_account(
    State(app): State<Arc<App>>,
    SignedIn(context, account): SignedIn,
) -> Result<Json<Account>, Problem> {
    let request = pb::GetAccountRequest { account_id: account.to_string() };
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    let account = client.get_account(request).await.map_err(refused)?.into_inner();
    Ok(Json(account.into()))
}

/// The public keys that verify access tokens (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, body = Object, description = "a JWK set"))
)]
async fn jwks(State(app): State<Arc<App>>, Anybody(context): Anybody) -> Result<Response, Problem> {
    let mut client = AuthServiceClient::new(app.auth.with(&context));
    let keys = client.get_jwks(pb::GetJwksRequest {}).await.map_err(refused)?.into_inner();
    Ok(json_text(keys.jwks_json))
}
