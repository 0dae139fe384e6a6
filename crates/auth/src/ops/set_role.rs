//! Gives an account another role. Its sessions end, so that no token goes on with the old one.

use kernel::{AccountId, Failure, Role};
use wire::Context;

use crate::{
    app::App,
    error::Error,
    events,
    store::{self, Account},
};

pub(crate) async fn set_role(
    app: &App,
    context: &Context,
    id: AccountId,
    role: Role,
) -> Result<Account, Error> {
    if !context.caller.is_operator() {
        return Err(Failure::forbidden("only operators change roles").into());
    }
    let account = super::get_account(app, context, id).await?;
    if role == Role::Organization && account.organization.is_none() {
        return Err(Failure::invalid("role", "the account has no organization").into());
    }
    if account.role == role {
        return Ok(account);
    }
    let now = app.now();
    let account = Account { role, ..account };
    let told = events::role_changed(app, context, &account, now)?;
    let outbox = app.outbox.clone();
    let actor = format!("{:?}", context.caller.account().ok());
    app.db
        .write(move |tx| {
            let (told, outbox, actor) = (told.clone(), outbox.clone(), actor.clone());
            Box::pin(async move {
                store::set_role(tx, id, role).await?;
                store::end_sessions_of(tx, id, "role changed", now).await?;
                let entry = ("role_changed", actor.as_str(), role.as_str());
                store::insert_history(tx, id, entry, now).await?;
                Ok::<_, Error>(outbox.append(tx, &[told]).await?)
            })
        })
        .await?;
    app.outbox.wake();
    Ok(account)
}
