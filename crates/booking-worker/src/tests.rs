//! The service through its public face, beside a booking-service and a realtime-service of our own.

mod booking;
mod fakes;
mod lines;
mod places;
mod serving;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kernel::{
    AccountId, Caller, Clock, Code, EventId, Failure, MessageId, Role, Secret, Timestamp,
};
use platform::{
    Metrics, Tasks,
    bus::{Bus, CATALOG_EVENTS, Delivery, Envelope},
    kv::Kv,
    tokens::Seal,
};
use serde::Serialize;
use testkit::{ManualClock, SeededIds, TestDb};
use tonic::service::Routes;
use uuid::Uuid;
use wire::{
    Context, Mesh, MeshSettings, Wire,
    pb::{
        booking::v1::booking_service_server::BookingServiceServer,
        booking_worker::v1::{
            self as pb, PlaceStatus, booking_worker_service_server::BookingWorkerServiceServer,
            client::BookingWorkerServiceClient,
        },
        event::v1::{Event, EventAvailabilityChanged, EventPublished, EventStatus, QueueMode},
        kernel::v1::{Choice, choice},
        realtime::v1::realtime_service_server::RealtimeServiceServer,
    },
};

use self::fakes::{FakeBooking, FakeRealtime};
use crate::{BuildError, CONFIG, Config, Deps, NAME, app::App, consumers, grpc, ops};

/// The moment at which each test begins, in seconds.
const NOW: i64 = 1_767_268_800;
const HOUR: i64 = 3_600;
/// How often lines are looked at, in milliseconds.
const LOOK: u64 = 200;

/// What outlives a process.
struct Ground {
    database: TestDb,
    clock: Arc<ManualClock>,
    booking: Arc<FakeBooking>,
    realtime: Arc<FakeRealtime>,
}

/// The service in one process.
struct House {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    booking: Arc<FakeBooking>,
    realtime: Arc<FakeRealtime>,
    wire: Wire,
    kv: Kv,
}

async fn ground() -> Ground {
    Ground {
        database: testkit::sqlite(&[]).await,
        clock: Arc::new(ManualClock::new(Timestamp::from_seconds(NOW))),
        booking: Arc::default(),
        realtime: Arc::default(),
    }
}

impl Ground {
    /// A process, as after a restart.
    async fn open(&self) -> House {
        let db = self.database.open_again().await;
        self.beside(&Kv::memory(db, self.clock.clone()).await.unwrap()).await
    }

    /// One more process on the same store.
    async fn beside(&self, kv: &Kv) -> House {
        let mesh = self.mesh();
        let app = crate::assemble(config(), self.deps(kv, &mesh).await, &Metrics::new());
        let server = BookingWorkerServiceServer::new(grpc::Api { app: app.clone() });
        let _face = mesh.fill(NAME, Routes::new(server)).unwrap();
        House {
            app,
            clock: self.clock.clone(),
            booking: self.booking.clone(),
            realtime: self.realtime.clone(),
            wire: mesh.wire("tests", NAME).unwrap(),
            kv: kv.clone(),
        }
    }

    fn mesh(&self) -> Mesh {
        let mesh = Mesh::new(MeshSettings {
            key: Secret::new(vec![7; 32]),
            calls: &[(NAME, &["booking", "realtime"]), ("tests", &[NAME])],
            remotes: BTreeMap::new(),
            tls: None,
            deadline: Duration::from_secs(30),
            clock: self.clock.clone(),
        })
        .unwrap();
        let booking = BookingServiceServer::from_arc(self.booking.clone());
        let _face = mesh.fill("booking", Routes::new(booking)).unwrap();
        let realtime = RealtimeServiceServer::from_arc(self.realtime.clone());
        let _face = mesh.fill("realtime", Routes::new(realtime)).unwrap();
        mesh
    }

    async fn deps(&self, kv: &Kv, mesh: &Mesh) -> Deps {
        let db = self.database.open_again().await;
        Deps {
            kv: kv.clone(),
            clock: self.clock.clone(),
            ids: Arc::new(SeededIds::new(1)),
            bus: Bus::memory(db, Tasks::new()).await.unwrap(),
            booking: mesh.wire(NAME, "booking").unwrap(),
            realtime: mesh.wire(NAME, "realtime").unwrap(),
            seal: seal(),
        }
    }
}

fn config() -> Config {
    Config {
        serve_every_ms: LOOK,
        broadcast_every_ms: 500,
        max_waiting: 1_000,
        lease_seconds: 20,
        booking_timeout_seconds: 8,
        bookings_at_once: 4,
        max_attempts: 3,
        keep_seconds: 900,
    }
}

fn seal() -> Seal {
    Seal::new(&Secret::new(vec![9; 32]))
}

fn event(number: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(number))
}

fn account(number: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(0xacc0_0000 + number))
}

fn buyer(number: u128) -> Caller {
    let id = account(number);
    Caller::Account { id, role: Role::Individual, organization: None, session: None }
}

/// After so many seconds.
fn at(seconds: i64) -> i64 {
    (NOW + seconds) * 1_000_000
}

/// An event on sale for an hour, one admission a second, each good for five minutes.
fn on_sale(id: EventId) -> Event {
    let mut event = Event {
        event_id: id.to_string(),
        sale_starts_at_us: at(0),
        sale_ends_at_us: at(HOUR),
        max_per_booking: 10,
        queue: Some(QueueMode {
            enabled: true,
            admissions_per_minute: 60,
            admission_ttl_seconds: 300,
        }),
        version: 3,
        ..Event::default()
    };
    event.set_status(EventStatus::OnSale);
    event
}

fn at_rate(id: EventId, admissions_per_minute: u32) -> Event {
    let queue = QueueMode { admissions_per_minute, ..on_sale(id).queue.unwrap() };
    Event { queue: Some(queue), ..on_sale(id) }
}

fn two() -> Option<Choice> {
    let best = choice::BestAvailable { quantity: 2, ..choice::BestAvailable::default() };
    Some(Choice { wish: Some(choice::Wish::BestAvailable(best)) })
}

impl House {
    /// Hears an event message.
    async fn hear(&self, kind: &str, key: EventId, content: &impl Serialize) {
        let delivery = Delivery {
            id: MessageId::from_uuid(Uuid::from_u128(1)),
            topic: CATALOG_EVENTS.into(),
            key: key.to_string().into(),
            kind: kind.into(),
            source: "event".into(),
            at: Timestamp::from_seconds(NOW),
            correlation_id: "test".into(),
            content: serde_json::to_value(content).unwrap().into(),
            attempts: 0,
        };
        consumers::handler(self.app.clone())(delivery).await.unwrap();
    }

    async fn publish(&self, event: Event) {
        let key = event.event_id.parse().unwrap();
        let content = EventPublished { event: Some(event), at_us: at(0) };
        self.hear("event.updated", key, &content).await;
    }

    async fn sold_out(&self, event: EventId, sold_out: bool) {
        let kind = if sold_out { "event.sold_out" } else { "event.back_on_sale" };
        let event_id = event.to_string();
        let content = EventAvailabilityChanged { event_id, sold_out, at_us: at(0), version: 0 };
        self.hear(kind, event, &content).await;
    }

    fn client(&self, caller: &Caller) -> BookingWorkerServiceClient {
        BookingWorkerServiceClient::new(self.wire.with(&Context::new(caller.clone(), "test")))
    }

    async fn join(&self, event: EventId, number: u128) -> Result<pb::Place, Failure> {
        self.wish(event, number, None).await
    }

    async fn wish(
        &self,
        event: EventId,
        number: u128,
        wish: Option<Choice>,
    ) -> Result<pb::Place, Failure> {
        let request = pb::JoinQueueRequest { event_id: event.to_string(), wish };
        answer(self.client(&buyer(number)).join_queue(request).await)
    }

    async fn place(&self, event: EventId, number: u128) -> Result<pb::Place, Failure> {
        let request = pb::GetPlaceRequest { event_id: event.to_string() };
        answer(self.client(&buyer(number)).get_place(request).await)
    }

    async fn status(&self, event: EventId, number: u128) -> PlaceStatus {
        self.place(event, number).await.unwrap().status()
    }

    async fn leave(&self, event: EventId, number: u128) -> Result<bool, Failure> {
        let request = pb::LeaveQueueRequest { event_id: event.to_string() };
        answer(self.client(&buyer(number)).leave_queue(request).await).map(|left| left.left)
    }

    async fn queue(&self, event: EventId) -> Result<pb::Queue, Failure> {
        let request = pb::GetQueueRequest { event_id: event.to_string() };
        answer(self.client(&Caller::Anonymous).get_queue(request).await)
    }

    /// Looks at all lines once, until whatever that begins is done.
    async fn look(&self) {
        ops::serve_lines(&self.app).await.unwrap();
        for (_, serving) in self.app.lines.all() {
            drop(serving.lock().await);
        }
    }

    /// Lets time pass, and lines be looked at meanwhile.
    async fn pass(&self, milliseconds: u64) {
        for _ in 0..milliseconds / LOOK {
            self.clock.advance(Duration::from_millis(LOOK));
            self.look().await;
        }
    }
}

fn answer<T>(result: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Failure> {
    result.map(tonic::Response::into_inner).map_err(|status| wire::failure(&status))
}

/// What kind of refusal it is.
fn refusal<T>(result: Result<T, Failure>) -> (Code, String) {
    let failure = result.err().expect("a refusal");
    (failure.code, failure.reason.into_owned())
}

#[test]
fn the_defaults_are_a_configuration_and_a_wrong_value_is_named() {
    let mut tree = platform::config::Tree::new();
    tree.defaults(NAME, CONFIG).unwrap();
    let config: Config = tree.section(NAME).unwrap();
    config.check().unwrap();
    let longest = config.lease_seconds;
    let wrong = [
        Config { max_waiting: 0, ..config },
        Config { booking_timeout_seconds: longest, ..config },
    ];
    let keys = wrong.map(|config| {
        let BuildError::Config { key, .. } = config.check().unwrap_err();
        key
    });
    assert_eq!(keys, ["max_waiting", "booking_timeout_seconds"]);
}

#[tokio::test]
async fn as_built_it_hears_of_an_event_and_serves_its_line() {
    let ground = ground().await;
    let kv = Kv::memory(ground.database.open_again().await, ground.clock.clone()).await.unwrap();
    let mesh = ground.mesh();
    let deps = ground.deps(&kv, &mesh).await;
    let (bus, id) = (deps.bus.clone(), event(1));
    let unit = crate::build(config(), deps).unwrap();
    let _face = mesh.fill(NAME, unit.grpc.unwrap()).unwrap();
    unit.tasks.into_iter().for_each(|start| start(unit.tracked.clone()));

    let content = EventPublished { event: Some(on_sale(id)), at_us: at(0) };
    let ids = SeededIds::new(2);
    let told = Envelope::new(
        (CATALOG_EVENTS, "event", "event.published"),
        id,
        &content,
        &Context::service("event"),
        (&ids, Timestamp::from_seconds(NOW)),
    );
    bus.publish(&[told.unwrap()]).await.unwrap();
    let wire = mesh.wire("tests", NAME).unwrap().with(&Context::new(buyer(1), "test"));
    let mut client = BookingWorkerServiceClient::new(wire);
    let joining = async {
        let request = pb::JoinQueueRequest { event_id: id.to_string(), wish: None };
        while client.join_queue(request.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
        let request = pb::GetPlaceRequest { event_id: id.to_string() };
        let began = tokio::time::Instant::now();
        loop {
            // The clock follows the tasks' own time; faster, it would outrun leases and the sale.
            ground.clock.set(Timestamp::from_seconds(NOW).plus(began.elapsed()));
            let place = client.get_place(request.clone()).await.unwrap().into_inner();
            if place.status() == PlaceStatus::Admitted {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), joining).await.unwrap();
    let text = unit.metrics.encode();
    let counted = "booking_worker_items_processed_total{outcome=\"admitted\"} 1";
    assert!(text.contains(counted), "{text}");
    assert_eq!(unit.tracked.stop(Duration::from_secs(5)).await, 0);
    let lock = kv.lock(&format!("{NAME}:{id}"), Duration::from_secs(1)).await.unwrap();
    assert!(lock.is_some(), "who stops leaves the line to others");
}
