//! Reads accounts, and the public keys.

use kernel::{AccountId, Failure};
use serde_json::json;
use wire::Context;

use crate::{
    app::App,
    error::Error,
    store::{self, Account},
};

/// The caller's own account, or any for an operator.
pub(crate) async fn get_account(
    app: &App,
    context: &Context,
    id: AccountId,
) -> Result<Account, Error> {
    if !context.caller.may_act_for(id) {
        context.caller.account()?;
        return Err(Failure::not_found("account").into());
    }
    let found = app
        .db
        .read(move |tx| {
            Box::pin(async move { Ok::<_, Error>(store::account_by_id(tx, id).await?) })
        })
        .await?;
    found.ok_or_else(|| Failure::not_found("account").into())
}

/// The JWK set (RFC 7517) that verifies access tokens.
pub(crate) async fn get_jwks(app: &App) -> Result<String, Error> {
    // Whoever asks before anybody has logged in gets the key that the first login will use.
    app.keys.rotate(app).await?;
    let keys = app
        .db
        .read(|tx| Box::pin(async move { Ok::<_, Error>(store::public_keys(tx).await?) }))
        .await?;
    Ok(json!({ "keys": keys }).to_string())
}
