//! The facts that auth-service tells.

use kernel::{Failure, Timestamp};
use platform::bus::{ACCOUNT_EVENTS, Envelope};
use wire::{Context, pb::auth::v1 as pb};

use crate::{
    NAME,
    app::App,
    store::{Account, Organization},
};

pub(crate) fn registered(
    app: &App,
    context: &Context,
    account: &Account,
    now: Timestamp,
) -> Result<Envelope, Failure> {
    let organization = account.organization.as_ref();
    let content = pb::AccountRegistered {
        account_id: account.id.to_string(),
        email: account.email.clone(),
        first_name: account.first_name.clone(),
        last_name: account.last_name.clone(),
        role: account.role.to_string(),
        organization_id: organization.map(|its| its.id.to_string()).unwrap_or_default(),
        organization_name: organization
            .map(|Organization { name, .. }| name.clone())
            .unwrap_or_default(),
        verified: account.verified,
        at_us: now.micros(),
    };
    let kind = (ACCOUNT_EVENTS, NAME, "account.registered");
    Envelope::new(kind, account.id, &content, context, (&*app.ids, now))
}

/// Carries the PIN: good once, and not for long.
pub(crate) fn verification_requested(
    app: &App,
    context: &Context,
    account: &Account,
    (pin, expires_at): (&str, Timestamp),
) -> Result<Envelope, Failure> {
    let content = pb::AccountVerificationRequested {
        account_id: account.id.to_string(),
        email: account.email.clone(),
        first_name: account.first_name.clone(),
        pin: pin.to_owned(),
        expires_at_us: expires_at.micros(),
    };
    let kind = (ACCOUNT_EVENTS, NAME, "account.verification_requested");
    Envelope::new(kind, account.id, &content, context, (&*app.ids, app.now()))
}

pub(crate) fn verified(
    app: &App,
    context: &Context,
    account: &Account,
    now: Timestamp,
) -> Result<Envelope, Failure> {
    let content = pb::AccountVerified { account_id: account.id.to_string(), at_us: now.micros() };
    let kind = (ACCOUNT_EVENTS, NAME, "account.verified");
    Envelope::new(kind, account.id, &content, context, (&*app.ids, now))
}

pub(crate) fn role_changed(
    app: &App,
    context: &Context,
    account: &Account,
    now: Timestamp,
) -> Result<Envelope, Failure> {
    let content = pb::AccountRoleChanged {
        account_id: account.id.to_string(),
        role: account.role.to_string(),
        at_us: now.micros(),
    };
    let kind = (ACCOUNT_EVENTS, NAME, "account.role_changed");
    Envelope::new(kind, account.id, &content, context, (&*app.ids, now))
}
