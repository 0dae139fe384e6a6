//! A venue with its seating plan, for its organization.

use kernel::VenueId;
use wire::Context;

use crate::{
    app::{App, Authority},
    domain::Venue,
    error::Error,
    store,
};

pub(crate) async fn get_venue(app: &App, context: &Context, id: VenueId) -> Result<Venue, Error> {
    let authority = Authority::of(&context.caller)?;
    let found = app.db.view(move |tx| Box::pin(store::venue(tx, id))).await?;
    found.filter(|venue| authority.covers(venue.organization)).ok_or(Error::VenueNotFound)
}
