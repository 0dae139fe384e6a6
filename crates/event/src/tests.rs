//! The service through its public face, on both engines, beside a ticket-service of our own.

mod editing;
mod publishing;
mod reading;
mod selling;
mod ticket;
mod venues;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use db::Value;
use kernel::{AccountId, Caller, Failure, OrganizationId, Role, Secret, Timestamp};
use platform::{Metrics, Tasks, bus::Bus, kv::Kv};
use testkit::{ManualClock, SeededIds, TestDb};
use tonic::service::Routes;
use uuid::Uuid;
use wire::{
    Context, Mesh, MeshSettings, Wire,
    pb::{
        event::v1::{
            self as pb, client::EventServiceClient, event_service_server::EventServiceServer,
        },
        ticket::v1::ticket_service_server::TicketServiceServer,
    },
};

use self::ticket::FakeTicket;
use crate::{BuildError, CONFIG, Config, Deps, NAME, app::App, grpc};

/// The moment at which each test begins.
const NOW: i64 = 1_767_268_800;
pub(crate) const DAY: i64 = 86_400;

/// The service with all that it needs.
struct House {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    ticket: Arc<FakeTicket>,
    bus: Bus,
    wire: Wire,
    database: TestDb,
    _side: TestDb,
}

/// One on each engine.
async fn houses() -> Vec<House> {
    let mut houses = Vec::new();
    for database in testkit::databases(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await {
        houses.push(house(database).await);
    }
    houses
}

async fn house(database: TestDb) -> House {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOW)));
    let ticket = Arc::new(FakeTicket::default());
    let mesh = Mesh::new(MeshSettings {
        key: Secret::new(vec![7; 32]),
        calls: &[("event", &["ticket"]), ("tests", &["event"])],
        remotes: BTreeMap::new(),
        tls: None,
        deadline: Duration::from_secs(30),
        clock: clock.clone(),
    })
    .unwrap();
    let side = testkit::sqlite(&[]).await;
    let bus = Bus::memory(side.db.clone(), Tasks::new()).await.unwrap();
    let deps = Deps {
        db: database.db.clone(),
        clock: clock.clone(),
        ids: Arc::new(SeededIds::new(1)),
        bus: bus.clone(),
        kv: Kv::memory(side.db.clone(), clock.clone()).await.unwrap(),
        ticket: mesh.wire("event", "ticket").unwrap(),
    };
    let app = crate::assemble(&config(), deps, &Metrics::new());
    let server = TicketServiceServer::from_arc(ticket.clone());
    let _ticket_face = mesh.fill("ticket", Routes::new(server)).unwrap();
    let server = EventServiceServer::new(grpc::Api { app: app.clone() });
    let _event_face = mesh.fill("event", Routes::new(server)).unwrap();
    let wire = mesh.wire("tests", "event").unwrap();
    House { app, clock, ticket, bus, wire, database, _side: side }
}

/// Events are kept for so long that only forgetting them shows a change.
fn config() -> Config {
    Config {
        advance_every_ms: 10,
        advance_batch: 2,
        cache_ttl_ms: 60_000,
        cache_events: 100,
        cache_plans: 10,
    }
}

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(number))
}

fn account(role: Role, organization: Option<OrganizationId>) -> Caller {
    let id = AccountId::from_uuid(Uuid::from_u128(77));
    Caller::Account { id, role, organization, session: None }
}

/// Who belongs to organization 1, to organization 2, to none, runs all, and has not signed in.
fn organizer() -> Caller {
    account(Role::Organization, Some(organization(1)))
}
fn rival() -> Caller {
    account(Role::Organization, Some(organization(2)))
}
fn buyer() -> Caller {
    account(Role::Individual, None)
}
fn admin() -> Caller {
    account(Role::Admin, None)
}

impl House {
    /// Another replica, which hears nothing of what this one changes.
    async fn beside(&self) -> Arc<App> {
        let side = self._side.db.clone();
        let deps = Deps {
            db: self.database.open_again().await,
            clock: self.clock.clone(),
            ids: Arc::new(SeededIds::new(2)),
            bus: self.bus.clone(),
            kv: Kv::memory(side, self.clock.clone()).await.unwrap(),
            ticket: self.app.ticket.clone(),
        };
        crate::assemble(&config(), deps, &Metrics::new())
    }

    fn client(&self, caller: &Caller) -> EventServiceClient {
        EventServiceClient::new(self.wire.with(&Context::new(caller.clone(), "test")))
    }

    fn pass(&self, days: i64) {
        self.clock.set(at(days));
    }

    /// A venue of the organizer: ten seats and 100 admissions.
    async fn venue(&self) -> String {
        let venue = self.client(&organizer()).create_venue(new_venue()).await.unwrap();
        venue.into_inner().venue_id
    }

    /// A draft of the organizer, on sale from day 10 on, which takes place on day 100.
    async fn draft(&self) -> pb::Event {
        let draft = new_event(&self.venue().await);
        self.client(&organizer()).create_event(draft).await.unwrap().into_inner()
    }

    async fn published(&self) -> pb::Event {
        let event_id = self.draft().await.event_id;
        let request = pb::PublishEventRequest { event_id };
        self.client(&organizer()).publish_event(request).await.unwrap().into_inner()
    }

    async fn get(&self, caller: &Caller, event_id: &str) -> Result<pb::Event, Failure> {
        let request = pb::GetEventRequest { event_id: event_id.to_owned() };
        answer(self.client(caller).get_event(request).await)
    }

    /// What the outbox has, in order.
    async fn told(&self) -> Vec<String> {
        self.texts("select kind from boxoffice_outbox order by seq", vec![]).await
    }

    /// What an event's history has, in order.
    async fn history(&self, event_id: &str) -> Vec<String> {
        let sql = "select to_status from event_history where event_id = $1 order by version";
        let id: Uuid = event_id.parse().unwrap();
        self.texts(sql, vec![id.into()]).await
    }

    async fn texts(&self, sql: &'static str, params: Vec<Value>) -> Vec<String> {
        let read = self.database.db.read(move |tx| {
            let params = params.clone();
            Box::pin(async move {
                let rows = tx.query(sql, &params).await?;
                rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, db::Error>>()
            })
        });
        read.await.unwrap()
    }
}

/// So many days after the beginning.
fn at(days: i64) -> Timestamp {
    Timestamp::from_seconds(NOW + days * DAY)
}

fn answer<T>(result: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Failure> {
    result.map(tonic::Response::into_inner).map_err(|status| wire::failure(&status))
}

/// The fields that a refusal names.
fn fields<T>(result: Result<tonic::Response<T>, tonic::Status>) -> Vec<String> {
    let failure = answer(result).err().expect("a refusal");
    failure.fields.into_iter().map(|field| field.field).collect()
}

fn new_venue() -> pb::CreateVenueRequest {
    let row = pb::Row {
        name: "A".into(),
        first_number: 1,
        seats: 10,
        category: "premium".into(),
        wheelchair: vec![1, 10],
    };
    let stalls = pb::Section {
        key: "stalls".into(),
        name: "Stalls".into(),
        kind: pb::SectionKind::Seated.into(),
        category: "standard".into(),
        capacity: 0,
        rows: vec![row.clone(), pb::Row { name: "B".into(), category: String::new(), ..row }],
    };
    let floor = pb::Section {
        key: "floor".into(),
        name: "Floor".into(),
        kind: pb::SectionKind::Admission.into(),
        capacity: 100,
        rows: vec![],
        ..stalls.clone()
    };
    pb::CreateVenueRequest {
        name: " Altes Theater ".into(),
        address: "Am Markt 1".into(),
        city: "Zürich".into(),
        country: "ch".into(),
        time_zone: "europe/zurich".into(),
        plan: Some(pb::SeatingPlan { sections: vec![stalls, floor] }),
        organization_id: String::new(),
    }
}

fn new_event(venue_id: &str) -> pb::CreateEventRequest {
    let category = |key: &str, price_minor| pb::PriceCategory {
        key: key.into(),
        name: key.to_uppercase(),
        price_minor,
    };
    pb::CreateEventRequest {
        venue_id: venue_id.into(),
        name: "Nordlicht Trio".into(),
        description: "Two parts.".into(),
        kind: "concert".into(),
        starts_at_us: at(100).micros(),
        ends_at_us: at(101).micros(),
        sale_starts_at_us: at(10).micros(),
        sale_ends_at_us: 0,
        currency: "eur".into(),
        categories: vec![category("standard", 2_500), category("premium", 4_000)],
        max_per_booking: 0,
        queue: None,
    }
}

#[test]
fn the_defaults_are_a_configuration_and_a_wrong_value_is_named() {
    let mut tree = platform::config::Tree::new();
    tree.defaults(NAME, CONFIG).unwrap();
    let config: Config = tree.section(NAME).unwrap();
    config.check().unwrap();
    let wrong = Config { advance_batch: 0, ..config };
    let BuildError::OutOfRange { key, .. } = wrong.check().unwrap_err();
    assert_eq!(key, "advance_batch");
}
