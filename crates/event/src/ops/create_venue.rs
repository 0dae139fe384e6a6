//! Creates a venue with its seating plan.

use std::sync::Arc;

use kernel::{Failure, OrganizationId, VenueId};
use wire::Context;

use crate::{
    app::{App, Authority},
    domain::{Plan, Venue},
    error::Error,
    store,
};

/// A venue to be.
pub(crate) struct CreateVenue {
    /// Operators name it; others have their own.
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) city: String,
    pub(crate) country: String,
    pub(crate) time_zone: String,
    pub(crate) plan: Option<Plan>,
}

pub(crate) async fn create_venue(
    app: &Arc<App>,
    context: &Context,
    command: CreateVenue,
) -> Result<Venue, Error> {
    let organization = organization(Authority::of(&context.caller)?, command.organization)?;
    let now = app.clock.now();
    let zone = zone(&command.time_zone);
    let venue = Venue {
        id: VenueId::new(&*app.ids, now),
        organization,
        name: command.name.trim().to_owned(),
        address: command.address.trim().to_owned(),
        city: command.city.trim().to_owned(),
        country: command.country.to_ascii_uppercase(),
        time_zone: zone.clone().unwrap_or_default(),
        capacity: command.plan.as_ref().map_or(0, Plan::capacity),
        plan: command.plan,
        created_at: now,
    };
    let mut fields = venue.check().err().unwrap_or_default();
    if zone.is_none() {
        let detail = "must be an IANA zone, such as Europe/Berlin".to_owned();
        fields.push(kernel::FieldError { field: "time_zone".to_owned(), detail });
    }
    if !fields.is_empty() {
        return Err(Error::Invalid(fields));
    }
    let venue = Arc::new(venue);
    let kept = Arc::clone(&venue);
    app.db
        .write(move |tx| {
            let venue = Arc::clone(&kept);
            Box::pin(async move { store::insert_venue(tx, &venue).await.map_err(Error::from) })
        })
        .await?;
    Ok(Arc::unwrap_or_clone(venue))
}

fn organization(
    authority: Authority,
    named: Option<OrganizationId>,
) -> Result<OrganizationId, Error> {
    match (authority, named) {
        (Authority::Organization(own), None) => Ok(own),
        (authority, Some(named)) if authority.covers(named) => Ok(named),
        (Authority::Operator, _) => {
            Err(Failure::invalid("organization_id", "is required of operators").into())
        }
        (Authority::Organization(_), Some(_)) => {
            Err(Failure::forbidden("only for the caller's own organization").into())
        }
    }
}

/// The zone as the time zone database spells it, if it knows it.
fn zone(name: &str) -> Option<String> {
    let zone = jiff::tz::db().get(name).ok()?;
    zone.iana_name().map(str::to_owned)
}
