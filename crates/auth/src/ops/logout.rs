//! Ends the caller's session. Access tokens of it run out by themselves.

use kernel::Caller;
use wire::Context;

use crate::{app::App, error::Error, store};

pub(crate) async fn logout(app: &App, context: &Context) -> Result<(), Error> {
    context.caller.account()?;
    let Caller::Account { session: Some(session), .. } = context.caller else {
        return Err(Error::SessionOver);
    };
    let now = app.now();
    app.db
        .write(move |tx| {
            Box::pin(async move {
                store::end_session(tx, session, "logout", now).await?;
                Ok(())
            })
        })
        .await
}
