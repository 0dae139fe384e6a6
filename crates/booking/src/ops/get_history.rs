//! Reads every step that a booking took.

use kernel::BookingId;
use wire::Context;

use crate::{Error, app::App, change::Transition, ops::visible, store};

/// The steps of the booking, oldest first; for those who may see it.
///
/// # Errors
/// [`Error::NotFound`], also for anybody else's.
pub(crate) async fn get_history(
    app: &App,
    context: &Context,
    id: BookingId,
) -> Result<Vec<Transition>, Error> {
    visible(app, &context.caller, id).await?;
    app.db.view(move |tx| Box::pin(async move { Ok(store::history(tx, id).await?) })).await
}
