//! The caller's venues, the newest first, without their plans.

use kernel::{Failure, Page, VenueId};
use wire::Context;

use crate::{
    app::{App, Authority},
    domain::Venue,
    error::Error,
    store,
};

/// A page of venues, and the cursor of the next.
pub(crate) async fn list_venues(
    app: &App,
    context: &Context,
    page: &Page,
) -> Result<(Vec<Venue>, String), Error> {
    let organization = match Authority::of(&context.caller)? {
        Authority::Operator => None,
        Authority::Organization(own) => Some(own),
    };
    let before: Option<VenueId> = match page.cursor.as_str() {
        "" => None,
        cursor => {
            let refused = |_| Failure::invalid("page.cursor", "not a cursor of ours");
            Some(cursor.parse().map_err(refused)?)
        }
    };
    let limit = page.limit;
    let read = app.db.view(move |tx| {
        Box::pin(async move { store::venues(tx, organization, before, limit + 1).await })
    });
    let mut venues: Vec<Venue> = read.await?;
    let more = venues.len() > limit as usize;
    venues.truncate(limit as usize);
    let next = venues.last().filter(|_| more).map(|venue| venue.id.to_string());
    Ok((venues, next.unwrap_or_default()))
}
