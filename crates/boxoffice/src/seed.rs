//! The demo of a first start: accounts with fresh passwords, and three events on sale. Goes through
//! the services' own calls, and can be repeated after a crash in the middle.

use std::{fs, time::Duration};

use kernel::{Caller, Failure, Secret, Timestamp};
use wire::{
    Context,
    pb::{
        auth::v1::{ProvisionAccountRequest, auth_service_client::AuthServiceClient},
        event::v1::{
            CreateEventRequest, CreateVenueRequest, ListEventsRequest, PublishEventRequest,
            event_service_client::EventServiceClient,
        },
    },
};

use crate::{StartError, compose::Parts, secrets::hex_secret, topology::HOST};

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

/// Makes the demo, unless the state directory says that it was made; answers the accounts that are
/// new.
pub(crate) async fn demo(parts: &mut Parts) -> Result<Vec<DemoAccount>, StartError> {
    let done = parts.state_directory.join(DONE);
    if done.exists() {
        return Ok(Vec::new());
    }
    let refused = |failure: Failure| StartError::Demo(failure.to_string());
    let accounts = accounts(parts).await?;
    events(parts).await.map_err(refused)?;
    fs::write(&done, "").map_err(|error| StartError::state(&done, &error))?;
    for account in &accounts {
        parts.secrets.forget(&password_name(account.email))?;
    }
    Ok(accounts)
}

fn password_name(email: &str) -> String {
    format!("password of {email}")
}

/// Opens the accounts. Until the demo is complete their passwords are kept, so that a crash in
/// between loses none.
async fn accounts(parts: &mut Parts) -> Result<Vec<DemoAccount>, StartError> {
    let auth = parts.mesh.wire(HOST, "auth")?.with(&Context::service(HOST));
    let mut accounts = Vec::with_capacity(PEOPLE.len());
    for person in &PEOPLE {
        let ids = parts.ids.clone();
        let make = || hex_secret(&*ids).chars().take(16).chain("-Aa1".chars()).collect();
        let password = parts.secrets.get(&password_name(person.email), make)?;
        let request = ProvisionAccountRequest {
            email: person.email.to_owned(),
            password: password.expose().clone(),
            first_name: person.first_name.to_owned(),
            last_name: "Demo".to_owned(),
            role: person.role.to_owned(),
            organization_name: person.organization.to_owned(),
        };
        let opened = AuthServiceClient::new(auth.clone()).provision_account(request).await;
        let account =
            opened.map_err(|status| StartError::Demo(wire::failure(&status).to_string()))?;
        let organization = account.into_inner().organization_id;
        if !organization.is_empty() {
            parts.demo_organizations.push((person.title, organization));
        }
        accounts.push(DemoAccount { title: person.title, email: person.email, password });
    }
    Ok(accounts)
}

/// Makes and publishes the events that are not there yet.
async fn events(parts: &Parts) -> Result<(), Failure> {
    let wire = parts.mesh.wire(HOST, "event").map_err(Failure::internal)?;
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
                let organization = parts.demo_organizations.iter();
                let organization_id = organization
                    .filter(|(title, _)| *title == show.organizer)
                    .map(|(_, id)| id.clone())
                    .next()
                    .ok_or_else(|| Failure::internal("demo organizer is missing"))?;
                let venue = CreateVenueRequest { organization_id, ..show.venue };
                let venue = client.create_venue(venue).await.map_err(said)?.into_inner();
                let event = CreateEventRequest { venue_id: venue.venue_id, ..show.event };
                let event = at(event, parts.clock.now(), show.in_days);
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
