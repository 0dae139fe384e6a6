//! Opens an account: by its owner, with a PIN to prove the address, or by an operator, proved
//! already.

use std::time::Duration;

use kernel::{AccountId, Failure, Ids, OrganizationId, Timestamp};
use wire::Context;

use crate::{
    app::App,
    domain::Registration,
    error::Error,
    events,
    store::{self, Account, Organization, Verification},
};

/// Opens an account for whoever asks. Answers its id and when its PIN expires.
pub(crate) async fn register(
    app: &App,
    context: &Context,
    registration: Registration,
) -> Result<(AccountId, Timestamp), Error> {
    let account = new_account(app, registration, false).await?;
    let (pin, verification) = new_pin(app, account.id);
    let told = vec![
        events::registered(app, context, &account, account.created_at)?,
        events::verification_requested(app, context, &account, (&pin, verification.expires_at))?,
    ];
    let answer = (account.id, verification.expires_at);
    let outbox = app.outbox.clone();
    app.db
        .write(move |tx| {
            let (account, verification) = (account.clone(), verification.clone());
            let (told, outbox) = (told.clone(), outbox.clone());
            Box::pin(async move {
                if !store::insert_account(tx, &account).await? {
                    return Err(Error::EmailTaken);
                }
                let actor = account.id.to_string();
                let entry = ("registered", actor.as_str(), account.role.as_str());
                store::insert_history(tx, account.id, entry, account.created_at).await?;
                store::put_verification(tx, account.id, &verification).await?;
                Ok(outbox.append(tx, &told).await?)
            })
        })
        .await?;
    app.outbox.wake();
    Ok(answer)
}

/// Opens an account that is verified already. If the address is taken, the account that has it is
/// the answer.
pub(crate) async fn provision_account(
    app: &App,
    context: &Context,
    registration: Registration,
) -> Result<Account, Error> {
    if !context.caller.is_operator() {
        return Err(Failure::forbidden("only operators open accounts for others").into());
    }
    let account = new_account(app, registration, true).await?;
    let told = vec![events::registered(app, context, &account, account.created_at)?];
    let outbox = app.outbox.clone();
    let opened = app
        .db
        .write(move |tx| {
            let (account, told, outbox) = (account.clone(), told.clone(), outbox.clone());
            Box::pin(async move {
                if let Some(there) = store::account_by_email(tx, &account.email).await? {
                    return Ok(there);
                }
                if !store::insert_account(tx, &account).await? {
                    return Err(Error::EmailTaken);
                }
                let entry = ("provisioned", "operator", account.role.as_str());
                store::insert_history(tx, account.id, entry, account.created_at).await?;
                outbox.append(tx, &told).await?;
                Ok(account)
            })
        })
        .await?;
    app.outbox.wake();
    Ok(opened)
}

async fn new_account(
    app: &App,
    registration: Registration,
    verified: bool,
) -> Result<Account, Error> {
    let now = app.now();
    let password_hash = app.passwords.hash(registration.password, &*app.ids).await?;
    let organization = registration.organization_name;
    Ok(Account {
        id: AccountId::new(&*app.ids, now),
        email: registration.email,
        password_hash,
        first_name: registration.first_name,
        last_name: registration.last_name,
        role: registration.role,
        verified,
        organization: organization
            .map(|name| Organization { id: OrganizationId::new(&*app.ids, now), name }),
        locked_until: None,
        created_at: now,
    })
}

/// A PIN of six digits, and what of it is stored.
pub(super) fn new_pin(app: &App, account: AccountId) -> (String, Verification) {
    let mut bytes = [0_u8; 8];
    app.ids.fill(&mut bytes);
    let pin = format!("{:06}", u64::from_le_bytes(bytes) % 1_000_000);
    let verification = Verification {
        pin_hash: app.pin_hash(account, &pin),
        attempts: 0,
        expires_at: app.now().plus(Duration::from_secs(app.config.pin_ttl_seconds)),
    };
    (pin, verification)
}
