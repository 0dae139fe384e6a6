//! Lists the caller's bookings.

use kernel::{BookingId, Failure, Page};
use wire::Context;

use crate::{Error, app::App, domain::Booking, store};

/// The caller's bookings, newest first, and the cursor of the next page; empty after the last.
///
/// # Errors
/// `UNAUTHENTICATED` for anyone who is not signed in; a cursor that is not ours.
pub(crate) async fn list_bookings(
    app: &App,
    context: &Context,
    page: &Page,
) -> Result<(Vec<Booking>, String), Error> {
    let account = context.caller.account()?;
    let before: Option<BookingId> = match page.cursor.as_str() {
        "" => None,
        cursor => {
            let id = cursor.parse();
            Some(id.map_err(|_| Failure::invalid("page.cursor", "not a cursor of ours"))?)
        }
    };
    let limit = page.limit;
    let mut bookings = app
        .db
        .view(move |tx| {
            Box::pin(
                async move { Ok::<_, Error>(store::list(tx, account, before, limit + 1).await?) },
            )
        })
        .await?;
    let more = bookings.len() > limit as usize;
    bookings.truncate(limit as usize);
    let cursor = bookings.last().filter(|_| more).map(|last| last.id.to_string());
    Ok((bookings, cursor.unwrap_or_default()))
}
