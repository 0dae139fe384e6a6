//! A venue: a place with an address, a time zone and a seating plan.

use kernel::{FieldError, OrganizationId, Timestamp, VenueId};

use super::{Plan, Problems};

/// The longest name of a venue or city, in characters.
const MAX_NAME: usize = 200;
/// The longest address, in characters.
const MAX_ADDRESS: usize = 500;

/// Where events take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Venue {
    pub(crate) id: VenueId,
    pub(crate) organization: OrganizationId,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) city: String,
    /// ISO 3166-1 alpha-2, in upper case.
    pub(crate) country: String,
    /// IANA zone; whether there is such a zone is asked where it comes in.
    pub(crate) time_zone: String,
    /// Left out of lists.
    pub(crate) plan: Option<Plan>,
    pub(crate) capacity: u32,
    pub(crate) created_at: Timestamp,
}

impl Venue {
    /// All that is wrong with it.
    pub(crate) fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.line("name", &self.name, MAX_NAME);
        problems.optional_line("address", &self.address, MAX_ADDRESS);
        problems.line("city", &self.city, MAX_NAME);
        let country = self.country.as_bytes();
        let is_code = country.len() == 2 && country.iter().all(u8::is_ascii_uppercase);
        problems.require(is_code, "country", "must be two letters (ISO 3166-1)");
        match self.plan.as_ref().map(Plan::check) {
            None => problems.add("plan", "is required"),
            Some(Ok(())) => {}
            Some(Err(fields)) => {
                for field in fields {
                    problems.add(field.field, field.detail);
                }
            }
        }
        problems.into_result()
    }
}
