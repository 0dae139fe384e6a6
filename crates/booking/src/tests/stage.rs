//! What a test of a saga stands on: a database, the world around, and processes that come and go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kernel::{
    AccountId, BookingId, Caller, Choice, Clock as _, EventId, Failure, Ids as _, MessageId, Role,
    Secret,
};
use platform::{
    Metrics, Tasks,
    bus::{Bus, Delivery},
    tokens::{Claims, Seal, SigningKey, Verifier},
};
use testkit::{ManualClock, SeededIds, TestDb};
use tonic::service::Routes;
use wire::{
    Context, Mesh, MeshSettings,
    pb::{
        event::v1::event_service_server::EventServiceServer,
        payment::v1::{
            PaymentChanged, PaymentRefunded, PaymentState,
            payment_service_server::PaymentServiceServer,
        },
        ticket::v1::ticket_service_server::TicketServiceServer,
    },
};

use super::world::{Fault, World};
use crate::{
    Config, Deps, Error,
    app::App,
    consumers,
    domain::{Booking, PaymentStatus, Status},
    ops::{self, CancelBooking, OpenBooking},
    store,
};

pub(crate) struct Stage {
    pub(crate) db: TestDb,
    events: TestDb,
    pub(crate) world: World,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ids: Arc<SeededIds>,
    pub(crate) event: EventId,
    pub(crate) buyer: AccountId,
    key: Secret<Vec<u8>>,
    pub(crate) signing: Arc<SigningKey>,
}

/// A stage on each engine.
pub(crate) async fn stages() -> Vec<Stage> {
    let databases = testkit::databases(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await;
    let mut stages = Vec::new();
    for db in databases {
        stages.push(Stage::new(db).await);
    }
    stages
}

/// A stage on the engine that is fastest to start.
pub(crate) async fn stage() -> Stage {
    Stage::new(testkit::sqlite(&[&platform::MIGRATIONS, &crate::MIGRATIONS]).await).await
}

impl Stage {
    async fn new(db: TestDb) -> Self {
        let clock = Arc::new(ManualClock::default());
        let ids = Arc::new(SeededIds::new(7));
        let now = clock.now();
        let pkcs8 = SigningKey::generate().unwrap();
        Self {
            db,
            events: testkit::sqlite(&[]).await,
            world: World::new(clock.clone()),
            event: EventId::new(&*ids, now),
            buyer: AccountId::new(&*ids, now),
            key: Secret::new(vec![7; 32]),
            signing: Arc::new(SigningKey::from_pkcs8("test", &pkcs8).unwrap()),
            clock,
            ids,
        }
    }

    /// A process that has just started.
    pub(crate) async fn app(&self) -> Arc<App> {
        let (config, deps) = self.parts().await;
        Arc::new(App::new(config, deps, &Metrics::new(), &Tasks::new()))
    }

    pub(crate) async fn parts(&self) -> (Config, Deps) {
        let mut tree = platform::config::Tree::new();
        tree.defaults("booking", crate::CONFIG).unwrap();
        let config: Config = tree.section("booking").unwrap();
        let mesh = self.mesh();
        let world = || self.world.clone();
        let _ = mesh.fill("event", Routes::new(EventServiceServer::new(world()))).unwrap();
        let _ = mesh.fill("ticket", Routes::new(TicketServiceServer::new(world()))).unwrap();
        let _ = mesh.fill("payment", Routes::new(PaymentServiceServer::new(world()))).unwrap();
        let wire = |to| mesh.wire("booking", to).unwrap();
        let jwks = serde_json::json!({ "keys": [self.signing.jwk()] }).to_string();
        let source = Arc::new(move || {
            let jwks = jwks.clone();
            Box::pin(async move { Ok(jwks) }) as std::pin::Pin<Box<_>>
        });
        let deps = Deps {
            db: self.db.open_again().await,
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            bus: Bus::memory(self.events.db.clone(), Tasks::new()).await.unwrap(),
            event: wire("event"),
            ticket: wire("ticket"),
            payment: wire("payment"),
            seal: Seal::new(&self.key),
            access: Verifier::new(source, self.clock.clone()),
        };
        (config, deps)
    }

    pub(crate) fn mesh(&self) -> Mesh {
        Mesh::new(MeshSettings {
            key: self.key.clone(),
            calls: &[("booking", &["event", "payment", "ticket"]), ("gateway", &["booking"])],
            remotes: BTreeMap::new(),
            tls: None,
            deadline: Duration::from_secs(10),
            clock: self.clock.clone(),
        })
        .unwrap()
    }

    pub(crate) fn as_buyer(&self) -> Context {
        Context::new(self.account(self.buyer, Role::Individual), "test")
    }

    pub(crate) fn as_admin(&self) -> Context {
        let id = AccountId::new(&*self.ids, self.clock.now());
        Context::new(self.account(id, Role::Admin), "test")
    }

    pub(crate) fn as_stranger(&self) -> Context {
        let id = AccountId::new(&*self.ids, self.clock.now());
        Context::new(self.account(id, Role::Individual), "test")
    }

    fn account(&self, id: AccountId, role: Role) -> Caller {
        Caller::Account { id, role, organization: None, session: None }
    }

    /// A bearer header of the buyer.
    pub(crate) fn bearer(&self) -> String {
        let now = self.clock.now();
        let claims = Claims {
            account: self.buyer,
            session: kernel::SessionId::new(&*self.ids, now),
            role: Role::Individual,
            organization: None,
            expires_at: now.plus(Duration::from_secs(3_600)),
        };
        format!("Bearer {}", self.signing.sign(&claims, now).unwrap())
    }

    /// The seal that all services share.
    pub(crate) fn seal(&self) -> Seal {
        Seal::new(&self.key)
    }

    /// A request for two places.
    pub(crate) fn wish(&self, key: &str) -> OpenBooking {
        OpenBooking {
            event_id: self.event,
            choice: Choice::Admissions { section: "floor".to_owned(), quantity: 2 },
            idempotency_key: key.to_owned(),
            admission_token: String::new(),
            account_id: None,
            hold_id: None,
        }
    }

    pub(crate) async fn open(&self, app: &Arc<App>, key: &str) -> Result<Booking, Error> {
        ops::open_booking(app, &self.as_buyer(), self.wish(key)).await
    }

    pub(crate) async fn cancel(&self, app: &Arc<App>, id: BookingId) -> Result<Booking, Error> {
        let command = CancelBooking { booking_id: id, reason: String::new() };
        ops::cancel_booking(app, &self.as_buyer(), command).await
    }

    /// The buyer pays: the provider sets the money aside.
    pub(crate) fn authorize(&self, id: BookingId) {
        let mut memory = self.world.memory();
        let payment = memory.payments.get_mut(&id.to_string()).unwrap();
        if payment.state() == PaymentState::RequiresPayment {
            payment.set_state(PaymentState::Authorized);
        }
    }

    /// The provider takes the money by itself.
    pub(crate) fn capture(&self, id: BookingId) {
        let mut memory = self.world.memory();
        let payment = memory.payments.get_mut(&id.to_string()).unwrap();
        payment.set_state(PaymentState::Captured);
        payment.captured_minor = payment.amount.as_ref().unwrap().minor;
    }

    /// A payment event about a booking.
    pub(crate) fn event(&self, kind: &str, id: BookingId) -> Delivery {
        let payment_id = {
            let memory = self.world.memory();
            memory.payments.get(&id.to_string()).map(|payment| payment.payment_id.clone())
        };
        let payment_id = payment_id.unwrap_or_default();
        let content = if kind.starts_with("payment.refund") {
            serde_json::to_value(PaymentRefunded {
                payment_id,
                booking_id: id.to_string(),
                fully: true,
                ..PaymentRefunded::default()
            })
        } else {
            serde_json::to_value(PaymentChanged {
                payment_id,
                booking_id: id.to_string(),
                ..PaymentChanged::default()
            })
        };
        Delivery {
            id: MessageId::from_uuid(self.ids.uuid(self.clock.now())),
            topic: "payment-events".into(),
            key: id.to_string().into(),
            kind: kind.into(),
            source: "payment".into(),
            at: self.clock.now(),
            correlation_id: "test".into(),
            content: content.unwrap().into(),
            attempts: 0,
        }
    }

    /// The event `kind` about the booking, delivered.
    pub(crate) async fn tell(&self, app: &Arc<App>, kind: &str, id: BookingId) {
        consumers::handle(app, &self.event(kind, id)).await.unwrap();
    }

    /// The buyer pays, and the event comes in.
    pub(crate) async fn pay(&self, app: &Arc<App>, id: BookingId) {
        self.authorize(id);
        self.tell(app, "payment.authorized", id).await;
    }

    pub(crate) async fn load(&self, id: BookingId) -> Booking {
        let found = self.db.db.read(move |tx| Box::pin(async move { store::load(tx, id).await }));
        found.await.unwrap().unwrap()
    }

    /// The kinds of all events written so far.
    pub(crate) async fn kinds(&self) -> Vec<String> {
        let rows = self.db.db.read(|tx| {
            Box::pin(async move {
                let rows = tx.query("select kind from boxoffice_outbox order by seq", &[]).await?;
                rows.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, db::Error>>()
            })
        });
        rows.await.unwrap()
    }

    /// Time passes, and whoever is alive goes on with what is due, until nothing is.
    pub(crate) async fn resume(&self, app: &Arc<App>, after: Duration) {
        self.clock.advance(after);
        for _ in 0..100 {
            if !ops::resume_sagas(app).await.unwrap() && self.due().await == 0 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    async fn due(&self) -> i64 {
        let now = self.clock.now();
        let count = self.db.db.read(move |tx| {
            Box::pin(async move {
                let sql = "select count(*) from bookings where due_at <= $1";
                tx.query_one(sql, &[now.into()]).await?.get::<i64>(0)
            })
        });
        count.await.unwrap()
    }

    /// Runs `work` in a process that ends within the call of this number, before or after its
    /// effect. `false` if the work was over before.
    pub(crate) async fn dies_at<T>(
        &self,
        (number, fault): (usize, Fault),
        work: impl Future<Output = T>,
    ) -> bool {
        self.world.memory().at_call = Some((number, fault));
        let died = self.world.died.clone();
        let died = tokio::select! {
            () = died.notified() => true,
            _ = work => false,
        };
        self.world.heal();
        died
    }

    /// Money and tickets match, and nothing is held for a booking that has ended.
    pub(crate) async fn assert_settled(&self, id: BookingId) {
        let booking = self.load(id).await;
        let memory = self.world.memory();
        let id = id.to_string();
        let tickets = memory.tickets.get(&id).is_some_and(|(_, cancelled)| !cancelled);
        let payment = memory.payments.get(&id);
        let taken = payment.map_or(0, |payment| payment.captured_minor - payment.refunded_minor);
        let set_aside = payment.is_some_and(|p| p.state() == PaymentState::Authorized);
        let context = format!("{:?} on {}: {:?}", booking.state, self.db.engine(), memory.calls);
        if booking.state.status == Status::Confirmed {
            let price = booking.total().unwrap().minor;
            assert!(tickets && taken == price && !set_aside, "{context}");
        } else if booking.state.status.is_terminal() {
            assert!(!tickets && taken == 0 && !set_aside, "{context}");
            let held = memory.holds.get(&id).is_some_and(|hold| !hold.released);
            assert!(!held, "{context}");
            let open = payment.is_some_and(|p| p.state() == PaymentState::RequiresPayment);
            assert!(!open, "{context}");
            assert!(booking.cursor.undo.is_empty() && booking.cursor.due_at.is_none(), "{context}");
            assert_ne!(booking.state.payment, PaymentStatus::Captured, "{context}");
        }
        assert!(memory.captures <= 1, "{context}");
    }
}

/// The code and reason that an error is told as.
pub(crate) fn told<T>(result: Result<T, Error>) -> (kernel::Code, String) {
    let failure: Failure = result.err().expect("refused").into();
    (failure.code, failure.reason.into_owned())
}
