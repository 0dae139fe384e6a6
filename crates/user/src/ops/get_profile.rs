//! Reads a profile: one's own, or any for an operator.

use kernel::{AccountId, Failure};
use serde_json::Value;
use wire::Context;

use crate::{app::App, domain::Profile, error::Error, store};

pub(crate) async fn get_profile(
    app: &App,
    context: &Context,
    account: AccountId,
) -> Result<(Profile, Value), Error> {
    if !context.caller.may_act_for(account) {
        context.caller.account()?;
        return Err(Failure::not_found("profile").into());
    }
    let found = app
        .db
        .view(move |tx| Box::pin(async move { Ok::<_, Error>(store::profile(tx, account).await?) }))
        .await?;
    found.ok_or_else(|| Failure::not_found("profile").into())
}
