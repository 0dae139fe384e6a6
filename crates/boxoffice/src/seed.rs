//! The demo: accounts, and three events on sale. Goes through the services' own calls, and can be
//! repeated after a crash in the middle.

use std::{fs, path::Path, time::Duration};

use kernel::{Caller, Clock, Failure, Secret, Timestamp};
use wire::{
    Context, Mesh,
    pb::{
        auth::v1::{ProvisionAccountRequest, client::AuthServiceClient},
        event::v1::{
            CreateEventRequest, CreateVenueRequest, ListEventsRequest, PublishEventRequest,
            client::EventServiceClient,
        },
    },
};

use crate::{StartError, secrets::derived, topology::HOST};

mod halls;

/// A demo account as it was made.
#[derive(Debug, Clone)]
pub struct DemoAccount {
    /// What it is for.
    pub title: &'static str,
    /// Its address.
    pub email: &'static str,
    /// Its password.
    pub password: Secret<String>,
}

struct Person {
    title: &'static str,
    email: &'static str,
    first_name: &'static str,
    role: &'static str,
    organization: &'static str,
}

const PEOPLE: [Person; 4] = [
    Person {
        title: "operator",
        email: "operator@boxoffice.example",
        first_name: "Olga",
        role: "admin",
        organization: "",
    },
    Person {
        title: "theatre",
        email: "theatre@boxoffice.example",
        first_name: "Thea",
        role: "organization",
        organization: "Theatre on the Quay",
    },
    Person {
        title: "promoter",
        email: "promoter@boxoffice.example",
        first_name: "Pat",
        role: "organization",
        organization: "Northern Lights Promotions",
    },
    Person {
        title: "buyer",
        email: "buyer@boxoffice.example",
        first_name: "Bea",
        role: "individual",
        organization: "",
    },
];

const DONE: &str = "demo-made";

/// The demo accounts of the deployment with this secret: their passwords come from it, so that
/// whoever holds it can tell them again.
pub(crate) fn accounts(secret: &Secret<Vec<u8>>) -> Vec<DemoAccount> {
    let account = |person: &Person| {
        let words = derived(secret, &format!("password of {}", person.email));
        let password = words.chars().take(16).chain("-Aa1".chars()).collect();
        let Person { title, email, .. } = *person;
        DemoAccount { title, email, password: Secret::new(password) }
    };
    PEOPLE.iter().map(account).collect()
}

/// Makes the demo, unless the state directory says that it was made; answers the accounts that are
/// new.
pub(crate) async fn first_start(
    (mesh, clock): (&Mesh, &dyn Clock),
    secret: &Secret<Vec<u8>>,
    state_directory: Option<&Path>,
) -> Result<Vec<DemoAccount>, StartError> {
    let done = state_directory.map(|directory| directory.join(DONE));
    if done.as_ref().is_some_and(|done| done.exists()) {
        return Ok(Vec::new());
    }
    let accounts = demo((mesh, clock), secret).await?;
    if let Some(done) = done {
        fs::write(&done, "").map_err(|error| StartError::state(&done, &error))?;
    }
    Ok(accounts)
}

/// Makes what there is not of the demo yet; answers its accounts.
pub(crate) async fn demo(
    (mesh, clock): (&Mesh, &dyn Clock),
    secret: &Secret<Vec<u8>>,
) -> Result<Vec<DemoAccount>, StartError> {
    let refused = |failure: Failure| StartError::Demo(failure.to_string());
    let accounts = accounts(secret);
    let organizations = provision(mesh, &accounts).await.map_err(refused)?;
    events((mesh, clock), &organizations).await.map_err(refused)?;
    Ok(accounts)
}

/// Opens the accounts that are not there yet; answers their organizations, by title.
async fn provision(
    mesh: &Mesh,
    accounts: &[DemoAccount],
) -> Result<Vec<(&'static str, String)>, Failure> {
    let auth = mesh.wire(HOST, "auth").map_err(Failure::internal)?.with(&Context::service(HOST));
    let mut organizations = Vec::new();
    for (person, account) in PEOPLE.iter().zip(accounts) {
        let request = ProvisionAccountRequest {
            email: person.email.to_owned(),
            password: account.password.expose().clone(),
            first_name: person.first_name.to_owned(),
            last_name: "Demo".to_owned(),
            role: person.role.to_owned(),
            organization_name: person.organization.to_owned(),
        };
        let opened = AuthServiceClient::new(auth.clone()).provision_account(request).await;
        let organization =
            opened.map_err(|status| wire::failure(&status))?.into_inner().organization_id;
        if !organization.is_empty() {
            organizations.push((person.title, organization));
        }
    }
    Ok(organizations)
}

/// Makes and publishes the events that are not there yet.
async fn events(
    (mesh, clock): (&Mesh, &dyn Clock),
    organizations: &[(&'static str, String)],
) -> Result<(), Failure> {
    let wire = mesh.wire(HOST, "event").map_err(Failure::internal)?;
    let context = Context::new(Caller::Service(HOST.to_owned()), "demo");
    let mut client = EventServiceClient::new(wire.with(&context));
    let said = |status: tonic::Status| wire::failure(&status);

    let there = client.list_events(ListEventsRequest { mine: true, ..Default::default() }).await;
    let there = there.map_err(said)?.into_inner().events;
    for show in halls::shows() {
        let found = there.iter().find(|event| event.name == show.event.name);
        let event_id = match found {
            Some(event) if event.published_at_us > 0 => continue,
            Some(event) => event.event_id.clone(),
            None => {
                let organization = organizations.iter().find(|(title, _)| *title == show.organizer);
                let (_, organization_id) = organization
                    .cloned()
                    .ok_or_else(|| Failure::internal("demo organizer is missing"))?;
                let venue = CreateVenueRequest { organization_id, ..show.venue };
                let venue = client.create_venue(venue).await.map_err(said)?.into_inner();
                let event = CreateEventRequest { venue_id: venue.venue_id, ..show.event };
                let event = at(event, clock.now(), show.in_days);
                client.create_event(event).await.map_err(said)?.into_inner().event_id
            }
        };
        client.publish_event(PublishEventRequest { event_id }).await.map_err(said)?;
    }
    Ok(())
}

/// The event on the day `in_days` from now, from 18:00 UTC for three hours.
fn at(event: CreateEventRequest, now: Timestamp, in_days: u64) -> CreateEventRequest {
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY_SECONDS: i64 = 24 * 3_600;
    let today = Timestamp::from_seconds(now.seconds().div_euclid(DAY_SECONDS) * DAY_SECONDS);
    let hours = |count: u32| HOUR.saturating_mul(count);
    let starts_at = today.plus(Duration::from_secs(in_days * 24 * 3_600)).plus(hours(18));
    let ends_at = starts_at.plus(hours(3));
    CreateEventRequest { starts_at_us: starts_at.micros(), ends_at_us: ends_at.micros(), ..event }
}
