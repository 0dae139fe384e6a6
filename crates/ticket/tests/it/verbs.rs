//! What is tested through the verbs, on both engines. A house is a service on a database of its
//! own, with a clock that is driven; an audit reads its tables and says what does not go together.

mod audit;
mod faces;
mod histories;
mod holding;
mod racing;
mod refusals;
mod ticketing;
mod twins;
mod walk;

use std::{collections::HashMap, sync::Arc, time::Duration};

use kernel::{
    AccountId, BookingId, Caller, Choice, Clock as _, Currency, EventId, Failure, HoldId,
    OrganizationId, Role, SeatRef, Secret, Timestamp,
};
use platform::{Metrics, Tasks, bus::Bus};
use testkit::{ManualClock, SeededIds, TestDb};
use uuid::Uuid;
use wire::Context;

use ticket::{
    App, Config, Deps, Error,
    domain::{
        plan::{Kind, Plan, Row, Section},
        ticket::Ticket,
    },
    ops::{self, HoldSeats, IssueTickets, hold_seats::Held},
};

const EVENT: EventId = EventId::from_uuid(Uuid::from_u128(0xe));
const ORGANIZATION: OrganizationId = OrganizationId::from_uuid(Uuid::from_u128(0x0));
const BUYER: AccountId = AccountId::from_uuid(Uuid::from_u128(0xb));
const TTL_SECONDS: u32 = 900;

/// A service on a database of its own.
struct House {
    app: Arc<App>,
    db: TestDb,
    clock: Arc<ManualClock>,
    ids: Arc<SeededIds>,
    _bus: TestDb,
}

/// One on each engine, with the theatre's inventory open.
async fn theatres() -> Vec<House> {
    let mut houses = Vec::new();
    for db in testkit::databases(&[&platform::MIGRATIONS, &ticket::MIGRATIONS]).await {
        let house = House::new(db).await;
        house.open(EVENT, theatre()).await;
        houses.push(house);
    }
    houses
}

fn config() -> Config {
    toml::from_str(ticket::CONFIG).unwrap()
}

impl House {
    async fn new(db: TestDb) -> Self {
        let clock = Arc::new(ManualClock::default());
        let ids = Arc::new(SeededIds::new(7));
        let bus = testkit::sqlite(&[]).await;
        let app = app(&db.db, &bus.db, &clock, &ids).await;
        Self { app, db, clock, ids, _bus: bus }
    }

    /// Another replica of the service, on the same database.
    async fn replica(&self) -> Arc<App> {
        app(&self.db.open_again().await, &self._bus.db, &self.clock, &self.ids).await
    }

    async fn open(&self, event_id: EventId, plan: Plan) {
        let command = ops::OpenInventory {
            event_id,
            organization_id: ORGANIZATION,
            plan,
            max_per_hold: 10,
            ends_at: self.clock.now().plus(Duration::from_secs(30 * 86_400)),
        };
        ops::open_inventory(&self.app, &service("event"), command).await.unwrap();
    }

    fn hold_id(&self) -> HoldId {
        HoldId::new(&*self.ids, self.clock.now())
    }

    fn wish(&self, choice: Choice) -> HoldSeats {
        HoldSeats {
            hold_id: self.hold_id(),
            event_id: EVENT,
            account_id: BUYER,
            choice,
            ttl_seconds: TTL_SECONDS,
        }
    }

    async fn hold(&self, choice: Choice) -> Result<Held, Error> {
        hold(&self.app, self.wish(choice)).await
    }

    async fn release(&self, hold_id: HoldId) -> Result<bool, Error> {
        let command = ops::ReleaseHold { hold_id, reason: "cancelled".into(), account_id: None };
        let of = ops::release_hold(&self.app, &service("booking"), command).await?;
        Ok(of.is_some())
    }

    async fn issue(&self, hold_id: HoldId) -> Result<Vec<Ticket>, Error> {
        self.issue_for(hold_id, booking_of(hold_id)).await
    }

    async fn issue_for(
        &self,
        hold_id: HoldId,
        booking_id: BookingId,
    ) -> Result<Vec<Ticket>, Error> {
        ops::issue_tickets(&self.app, &service("booking"), sale(hold_id, booking_id)).await
    }

    async fn cancel(&self, booking_id: BookingId) -> Result<u32, Error> {
        let command = ops::CancelTickets { booking_id, reason: "changed my mind".into() };
        ops::cancel_tickets(&self.app, &service("booking"), command).await
    }

    fn lapse(&self) {
        self.clock.advance(Duration::from_secs(u64::from(TTL_SECONDS) + 1));
    }

    /// Free places of the event, as everybody is told.
    async fn available(&self) -> i64 {
        self.clock.advance(Duration::from_secs(1));
        let found = ops::get_availability(&self.app, EVENT, false).await.unwrap();
        found.counters.tally.available
    }
}

async fn app(
    db: &db::Db,
    bus: &db::Db,
    clock: &Arc<ManualClock>,
    ids: &Arc<SeededIds>,
) -> Arc<App> {
    let deps = Deps {
        db: db.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        bus: Bus::memory(bus.clone(), Tasks::new()).await.unwrap(),
        secret: Secret::new(vec![1; 32]),
    };
    Arc::new(App::new(config(), &deps, &Metrics::new(), Tasks::new()).await.unwrap())
}

async fn hold(app: &App, wish: HoldSeats) -> Result<Held, Error> {
    ops::hold_seats(app, &service("booking"), wish).await
}

fn sale(hold_id: HoldId, booking_id: BookingId) -> IssueTickets {
    let prices = [("best", 5_000), ("good", 3_000), ("standing", 0)];
    IssueTickets {
        hold_id,
        booking_id,
        booking_reference: "BKG1".into(),
        account_id: BUYER,
        prices: prices.iter().map(|(category, price)| ((*category).into(), *price)).collect(),
        currency: Currency::EUR,
    }
}

fn booking_of(hold_id: HoldId) -> BookingId {
    BookingId::from_uuid(hold_id.uuid())
}

fn service(name: &str) -> Context {
    Context::service(name)
}

fn account(id: AccountId, role: Role, organization: Option<OrganizationId>) -> Context {
    Context::new(Caller::Account { id, role, organization, session: None }, "test")
}

fn staff() -> Context {
    account(AccountId::from_uuid(Uuid::from_u128(9)), Role::Organization, Some(ORGANIZATION))
}

/// Stalls with rows A (8 seats, 1 and 8 for wheelchairs, best), B (10, best) and C (10, good), and
/// standing room for 20.
fn theatre() -> Plan {
    let row = |name: &str, seats, category: Option<&str>, wheelchair| Row {
        name: name.into(),
        first_number: 1,
        seats,
        category: category.map(str::to_owned),
        wheelchair,
    };
    let rows = vec![
        row("A", 8, None, vec![1, 8]),
        row("B", 10, None, vec![]),
        row("C", 10, Some("good"), vec![]),
    ];
    let stalls = Section {
        key: "stalls".into(),
        kind: Kind::Seated,
        category: "best".into(),
        capacity: 28,
        rows,
    };
    let standing = Section {
        key: "standing".into(),
        kind: Kind::Admission,
        category: "standing".into(),
        capacity: 20,
        rows: vec![],
    };
    Plan::new(vec![stalls, standing]).unwrap()
}

fn seats(names: &[&str]) -> Choice {
    Choice::Seats(names.iter().map(|name| seat(name)).collect())
}

fn seat(name: &str) -> SeatRef {
    format!("stalls/{name}").parse().unwrap()
}

fn best(quantity: u32) -> Choice {
    Choice::BestAvailable { quantity, section: None, category: None, wheelchair: 0 }
}

fn standing(quantity: u32) -> Choice {
    Choice::Admissions { section: "standing".into(), quantity }
}

fn held_seats(held: &Held) -> Vec<String> {
    held.hold.places.as_seats().iter().map(ToString::to_string).collect()
}

/// The reason and facts of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, HashMap<String, String>) {
    let failure = Failure::from(result.unwrap_err());
    (failure.reason.into_owned(), failure.metadata.into_iter().collect())
}

fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    refusal(result).0
}

fn now(house: &House) -> Timestamp {
    house.clock.now()
}
