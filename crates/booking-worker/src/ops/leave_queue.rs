//! Gives the caller's place up.

use kernel::EventId;
use wire::Context;

use crate::{app::App, error::Error, store};

/// Gives the place up; `false` if there is none that waits. One whose turn it is can't be given up
/// any more.
pub(crate) async fn leave_queue(
    app: &App,
    context: &Context,
    event: EventId,
) -> Result<bool, Error> {
    let account = context.caller.account()?;
    store::line(&app.queue, event).await?.ok_or(Error::EventNotFound)?;
    Ok(app.queue.leave(&event.to_string(), &account.to_string()).await?)
}
