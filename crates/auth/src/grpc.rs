//! Wire in, verb, wire out.

use std::sync::Arc;

use kernel::{AccountId, Failure, Role, Secret};
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::auth::v1::{self as pb, auth_service_server::AuthService},
};

use crate::{
    app::App,
    domain::Raw,
    error::Error,
    ops::{self, Login, Tokens},
    store::Account,
};

pub(crate) struct Api {
    pub app: Arc<App>,
}

type Answer<T> = Result<Response<T>, Status>;

fn answer<T, W>(result: Result<T, Error>, to_wire: impl FnOnce(T) -> W) -> Answer<W> {
    result.map(|value| Response::new(to_wire(value))).map_err(refused)
}

fn refused(error: impl Into<Failure>) -> Status {
    wire::status(error.into())
}

#[tonic::async_trait]
impl AuthService for Api {
    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Answer<pb::RegisterResponse> {
        let context = Context::of(&request);
        let said = request.get_ref();
        let raw = Raw {
            email: &said.email,
            password: &said.password,
            first_name: &said.first_name,
            last_name: &said.last_name,
            role: &said.role,
            organization_name: &said.organization_name,
        };
        let registration = raw.checked(false).map_err(refused)?;
        let app = self.app.clone();
        let work = async move { ops::register(&app, &context, registration).await };
        let result = self.app.tasks.finish(work).await;
        self.app.attempts.count("register", &result);
        answer(result, |(account_id, expires_at)| pb::RegisterResponse {
            account_id: account_id.to_string(),
            verification_expires_at_us: expires_at.micros(),
        })
    }

    async fn verify_email(
        &self,
        request: Request<pb::VerifyEmailRequest>,
    ) -> Answer<pb::VerifyEmailResponse> {
        let context = Context::of(&request);
        let pb::VerifyEmailRequest { email, pin } = request.into_inner();
        let app = self.app.clone();
        let work = async move { ops::verify_email(&app, &context, &email, &pin).await };
        let result = self.app.tasks.finish(work).await;
        self.app.attempts.count("verify_email", &result);
        answer(result, |account| pb::VerifyEmailResponse { account: Some(to_wire(account)) })
    }

    async fn resend_verification(
        &self,
        request: Request<pb::ResendVerificationRequest>,
    ) -> Answer<pb::ResendVerificationResponse> {
        let context = Context::of(&request);
        let email = request.into_inner().email;
        let app = self.app.clone();
        let work = async move { ops::resend_verification(&app, &context, &email).await };
        answer(self.app.tasks.finish(work).await, |()| pb::ResendVerificationResponse {})
    }

    async fn login(&self, request: Request<pb::LoginRequest>) -> Answer<pb::TokenPair> {
        let pb::LoginRequest { email, password, ip, user_agent } = request.into_inner();
        let login = Login { email, password: Secret::new(password), ip, user_agent };
        let app = self.app.clone();
        let result = self.app.tasks.finish(async move { ops::login(&app, login).await }).await;
        self.app.attempts.count("login", &result);
        answer(result, to_pair)
    }

    async fn refresh(&self, request: Request<pb::RefreshRequest>) -> Answer<pb::TokenPair> {
        let token = Secret::new(request.into_inner().refresh_token);
        let app = self.app.clone();
        let result = self.app.tasks.finish(async move { ops::refresh(&app, &token).await }).await;
        self.app.attempts.count("refresh", &result);
        answer(result, to_pair)
    }

    async fn logout(&self, request: Request<pb::LogoutRequest>) -> Answer<pb::LogoutResponse> {
        let context = Context::of(&request);
        let app = self.app.clone();
        let result = self.app.tasks.finish(async move { ops::logout(&app, &context).await }).await;
        answer(result, |()| pb::LogoutResponse {})
    }

    async fn get_account(&self, request: Request<pb::GetAccountRequest>) -> Answer<pb::Account> {
        let context = Context::of(&request);
        let id = wire::id("account_id", &request.get_ref().account_id).map_err(refused)?;
        answer(ops::get_account(&self.app, &context, id).await, to_wire)
    }

    async fn set_role(&self, request: Request<pb::SetRoleRequest>) -> Answer<pb::Account> {
        let context = Context::of(&request);
        let id: AccountId =
            wire::id("account_id", &request.get_ref().account_id).map_err(refused)?;
        let role: Role = request.get_ref().role.parse().map_err(refused)?;
        let app = self.app.clone();
        let work = async move { ops::set_role(&app, &context, id, role).await };
        answer(self.app.tasks.finish(work).await, to_wire)
    }

    async fn provision_account(
        &self,
        request: Request<pb::ProvisionAccountRequest>,
    ) -> Answer<pb::Account> {
        let context = Context::of(&request);
        let said = request.get_ref();
        let raw = Raw {
            email: &said.email,
            password: &said.password,
            first_name: &said.first_name,
            last_name: &said.last_name,
            role: &said.role,
            organization_name: &said.organization_name,
        };
        let operator = context.caller.is_operator();
        let registration = raw.checked(operator).map_err(refused)?;
        let app = self.app.clone();
        let work = async move { ops::provision_account(&app, &context, registration).await };
        answer(self.app.tasks.finish(work).await, to_wire)
    }

    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Answer<pb::GetJwksResponse> {
        answer(ops::get_jwks(&self.app).await, |jwks_json| pb::GetJwksResponse { jwks_json })
    }
}

fn to_wire(account: Account) -> pb::Account {
    let (organization_id, organization_name) = account
        .organization
        .map(|organization| (organization.id.to_string(), organization.name))
        .unwrap_or_default();
    pb::Account {
        account_id: account.id.to_string(),
        email: account.email,
        first_name: account.first_name,
        last_name: account.last_name,
        role: account.role.to_string(),
        verified: account.verified,
        organization_id,
        organization_name,
        created_at_us: account.created_at.micros(),
    }
}

fn to_pair(tokens: Tokens) -> pb::TokenPair {
    pb::TokenPair {
        access_token: tokens.access.expose().clone(),
        access_expires_at_us: tokens.access_expires_at.micros(),
        refresh_token: tokens.refresh.expose().clone(),
        refresh_expires_at_us: tokens.refresh_expires_at.micros(),
        account: Some(to_wire(tokens.account)),
    }
}
