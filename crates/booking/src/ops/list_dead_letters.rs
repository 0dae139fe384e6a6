//! Lists undoings that wait for an operator.

use kernel::{Failure, Page};
use wire::Context;

use crate::{Error, app::App, change::DeadLetter, domain::Step, ops::operators_only, store};

/// Dead letters by booking, and the cursor of the next page; empty after the last.
///
/// # Errors
/// For everybody but operators; a cursor that is not ours.
pub(crate) async fn list_dead_letters(
    app: &App,
    context: &Context,
    page: &Page,
) -> Result<(Vec<DeadLetter>, String), Error> {
    operators_only(&context.caller)?;
    let after = match page.cursor.as_str() {
        "" => None,
        cursor => {
            let parts = cursor.split_once('/');
            let parts = parts.and_then(|(id, step)| Some((id.parse().ok()?, Step::named(step)?)));
            Some(parts.ok_or_else(|| Failure::invalid("page.cursor", "not a cursor of ours"))?)
        }
    };
    let limit = page.limit;
    let mut letters = app
        .db
        .view(move |tx| {
            Box::pin(
                async move { Ok::<_, Error>(store::dead_letters(tx, after, limit + 1).await?) },
            )
        })
        .await?;
    let more = letters.len() > limit as usize;
    letters.truncate(limit as usize);
    let last = letters.last().filter(|_| more);
    let cursor = last.map(|last| format!("{}/{}", last.booking_id, last.step.as_str()));
    Ok((letters, cursor.unwrap_or_default()))
}
