//! Opens a session for an address and a password.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Ids, Secret, SessionId, Timestamp};
use platform::tokens::Claims;

use crate::{
    app::App,
    domain::normal,
    error::Error,
    store::{self, Account, NewSession},
};

/// Who wants in, and from where.
pub(crate) struct Login {
    pub email: String,
    pub password: Secret<String>,
    pub ip: String,
    pub user_agent: String,
}

/// A fresh pair of tokens.
pub(crate) struct Tokens {
    pub access: Secret<String>,
    pub access_expires_at: Timestamp,
    pub refresh: Secret<String>,
    pub refresh_expires_at: Timestamp,
    pub account: Account,
}

pub(crate) async fn login(app: &App, login: Login) -> Result<Tokens, Error> {
    let email = normal(&login.email);
    let found = app
        .db
        .read(move |tx| {
            let email = email.clone();
            Box::pin(async move { Ok::<_, Error>(store::account_by_email(tx, &email).await?) })
        })
        .await?;
    let now = app.now();
    if let Some(until) = found.as_ref().and_then(|account| account.locked_until)
        && now < until
    {
        return Err(Error::Locked(until, until.since(now).as_millis() as u64));
    }
    let hash = found.as_ref().map(|account| account.password_hash.clone());
    let right = app.passwords.verify(login.password, hash).await?;
    let account = found.ok_or(Error::BadCredentials)?;
    if !right {
        count_failure(app, &account, now).await?;
        return Err(Error::BadCredentials);
    }
    if !account.verified {
        return Err(Error::NotVerified);
    }
    open_session(app, account, (login.ip, login.user_agent)).await
}

async fn count_failure(app: &App, account: &Account, now: Timestamp) -> Result<(), Error> {
    let (id, limit) = (account.id, app.config.login_attempts);
    let until = now.plus(Duration::from_secs(app.config.lock_seconds));
    app.db
        .write(move |tx| {
            Box::pin(async move { Ok(store::count_login_failure(tx, id, limit, until).await?) })
        })
        .await
}

async fn open_session(
    app: &App,
    account: Account,
    (ip, user_agent): (String, String),
) -> Result<Tokens, Error> {
    let now = app.now();
    let refresh = new_refresh_token(app);
    let session = NewSession {
        id: SessionId::new(&*app.ids, now),
        account: account.id,
        ip: ip.chars().take(64).collect(),
        user_agent: user_agent.chars().take(256).collect(),
        now,
        expires_at: refresh_expiry(app),
        token_hash: token_hash(&refresh),
    };
    let id = session.id;
    app.db
        .write(move |tx| {
            let session = session.clone();
            Box::pin(async move {
                store::forget_login_failures(tx, session.account).await?;
                Ok::<_, Error>(store::insert_session(tx, &session).await?)
            })
        })
        .await?;
    tokens(app, account, id, refresh).await
}

/// The pair for a session: signs the access token.
pub(super) async fn tokens(
    app: &App,
    account: Account,
    session: SessionId,
    refresh: Secret<String>,
) -> Result<Tokens, Error> {
    let expires_at = app.now().plus(Duration::from_secs(app.config.access_ttl_seconds));
    let claims = Claims {
        account: account.id,
        session,
        role: account.role,
        organization: account.organization.as_ref().map(|its| its.id),
        expires_at,
    };
    let access = app.keys.sign(app, &claims).await?;
    Ok(Tokens {
        access: Secret::new(access),
        access_expires_at: expires_at,
        refresh,
        refresh_expires_at: refresh_expiry(app),
        account,
    })
}

pub(super) fn refresh_expiry(app: &App) -> Timestamp {
    app.now().plus(Duration::from_secs(app.config.refresh_ttl_seconds))
}

/// 256 random bits.
pub(super) fn new_refresh_token(app: &App) -> Secret<String> {
    let mut bytes = [0_u8; 32];
    app.ids.fill(&mut bytes);
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// What of a refresh token is stored: its SHA-256 suffices, since it can't be guessed.
pub(super) fn token_hash(token: &Secret<String>) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.expose().as_bytes()).as_ref().to_vec()
}
