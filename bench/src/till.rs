//! A payment-service with the sandbox beside it, as the binary runs them: gRPC over a wire, the
//! provider and its webhooks over HTTP on the loopback interface, events with their relay on a log.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use db::{Db, Engine, Settings};
use kernel::{Clock, Secret, SystemClock};
use platform::{
    Metrics, SystemIds, Tasks, Unit,
    bus::{Bus, Handler, PAYMENT_EVENTS, Urgency},
    http::{self, Nearby},
    tokens::{SigningKey, Verifier, key_set},
};
use testkit::SeededIds;
use tokio::{net::TcpListener, sync::oneshot};
use wire::{Mesh, MeshSettings, pb::payment::v1::client::PaymentServiceClient};

use crate::Failure;

/// How a caller of the service speaks to it.
pub(crate) type Client = PaymentServiceClient;

/// With what buyers' browsers call the provider.
pub(crate) const PUBLISHABLE_KEY: &str = "pk_test_bench";
const SECRET_KEY: &str = "sk_test_bench";
const WEBHOOK_SECRET: &str = "whsec_bench";
/// The group of those who wait for events.
const GROUP: &str = "bench";

const CALL_LIMIT: Duration = Duration::from_secs(30);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const SETTLE_PERIOD: Duration = Duration::from_millis(10);

/// The service and its provider, each on a database of its own.
pub(crate) struct Till {
    /// The service's database.
    pub(crate) db: Db,
    /// The provider's.
    pub(crate) ledger: Db,
    /// Where the provider is.
    pub(crate) provider: SocketAddr,
    /// Where callers' ids come from.
    pub(crate) ids: Arc<SeededIds>,
    waiting: Arc<Waiting>,
    mesh: Mesh,
    bus: Bus,
    log: Db,
    tracked: Vec<Tasks>,
}

/// Who waits until their booking's payment is authorized, by the booking's id.
#[derive(Default)]
struct Waiting(Mutex<HashMap<String, oneshot::Sender<()>>>);

impl Till {
    /// Starts both; the service on the database at `url`, the rest in files in `directory`.
    pub(crate) async fn open(url: &str, directory: &Path, name: &str) -> Result<Self, Failure> {
        let file =
            |what: &str| format!("sqlite:{}", directory.join(format!("{name}_{what}")).display());
        let db = Db::open(&Settings::new(url)).await?;
        db.migrate(&[&platform::MIGRATIONS, &payment::MIGRATIONS]).await?;
        let ledger = Db::open(&Settings::new(file("sandbox"))).await?;
        ledger.migrate(&[&stripe_sandbox::MIGRATIONS]).await?;
        let log = Db::open(&Settings::new(file("log"))).await?;
        let (log_tasks, servers) = (Tasks::new(), Tasks::new());
        let bus = Bus::memory(log.clone(), log_tasks.clone()).await?;
        let (webhooks, webhooks_at) = bind().await?;
        let (listener, provider) = bind().await?;
        sandbox(&ledger, listener, webhooks_at, &servers)?;
        let unit = service(&db, &bus, provider)?;
        let mesh = Mesh::new(MeshSettings {
            key: Secret::new(vec![2; 32]),
            calls: &[("booking", &["payment"])],
            remotes: BTreeMap::new(),
            tls: None,
            deadline: CALL_LIMIT,
            clock: Arc::new(SystemClock),
        })?;
        let waiting = Arc::<Waiting>::default();
        bus.consume(
            (GROUP, Urgency::Soon),
            &[PAYMENT_EVENTS],
            waiting.handler(),
            &Metrics::new(),
            &log_tasks,
        );
        let tracked = unit.tracked.clone();
        start(unit, webhooks, &mesh, &servers)?;
        let began = u64::try_from(SystemClock.now().micros())?;
        let ids = Arc::new(SeededIds::new(began));
        let tracked = vec![servers, tracked, log_tasks];
        Ok(Self { db, ledger, provider, ids, waiting, mesh, bus, log, tracked })
    }

    /// A client as booking-service has it.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.mesh.wire("booking", payment::NAME)?))
    }

    /// Ends once the payment of `booking` is authorized, as its event says; to be asked for before.
    pub(crate) fn authorized(&self, booking: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(booking.to_owned(), sender);
        receiver
    }

    /// Waits until nothing is on its way any more, neither events nor webhooks.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        let settled = async {
            let mut period = tokio::time::interval(SETTLE_PERIOD);
            loop {
                period.tick().await;
                // Webhooks lead to events.
                if is_empty(&self.ledger, "select 1 from stripe_due limit 1").await?
                    && self.is_told().await?
                {
                    return Ok(());
                }
            }
        };
        let settled = tokio::time::timeout(SETTLE_LIMIT, settled).await;
        settled.map_err(|_| "webhooks and events do not come to an end")?
    }

    /// Whether all events have reached who waits for them. On SQLite the outbox is the log.
    async fn is_told(&self) -> Result<bool, Failure> {
        let relayed = self.db.engine() == Engine::Sqlite
            || is_empty(&self.db, "select 1 from boxoffice_outbox limit 1").await?;
        Ok(relayed && self.bus.lag(GROUP, &[PAYMENT_EVENTS]).await? == 0)
    }

    /// Stops it, and closes its databases.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        for tasks in &self.tracked {
            if tasks.stop(CALL_LIMIT).await > 0 {
                return Err("tasks that don't stop".into());
            }
        }
        for db in [&self.db, &self.ledger, &self.log] {
            db.close().await;
        }
        Ok(())
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handler(self: &Arc<Self>) -> Handler {
        let waiting = Arc::clone(self);
        Arc::new(move |delivery| {
            if &*delivery.kind == "payment.authorized"
                && let Some(caller) = waiting.lock().remove(&*delivery.key)
            {
                // A caller that gave up has said so.
                let _gone = caller.send(());
            }
            Box::pin(async { Ok(()) })
        })
    }
}

async fn bind() -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn sandbox(
    ledger: &Db,
    listener: TcpListener,
    webhooks: SocketAddr,
    servers: &Tasks,
) -> Result<(), Failure> {
    let mut config: stripe_sandbox::Config = toml::from_str(stripe_sandbox::CONFIG)?;
    config.secret_key = Secret::new(SECRET_KEY.to_owned());
    config.publishable_key = PUBLISHABLE_KEY.to_owned();
    config.webhook_url = format!("http://{webhooks}/webhooks/stripe");
    config.webhook_secret = Secret::new(WEBHOOK_SECRET.to_owned());
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let deps = stripe_sandbox::Deps { db: ledger.clone(), clock, ids, nearby: Nearby::default() };
    let sandbox = stripe_sandbox::build(config, deps)?;
    let unit = Unit::new(stripe_sandbox::NAME, Metrics::new(), Tasks::new());
    let router = http::stack(sandbox.router, &unit);
    let stop = servers.stopping();
    servers.spawn("provider", async move { sandbox.worker.run(stop).await });
    serve(servers, listener, router);
    Ok(())
}

fn service(db: &Db, bus: &Bus, provider: SocketAddr) -> Result<Unit, Failure> {
    let mut config: payment::Config = toml::from_str(payment::CONFIG)?;
    config.stripe_api_base = format!("http://{provider}");
    config.stripe_secret_key = Secret::new(SECRET_KEY.to_owned());
    config.stripe_webhook_secret = Secret::new(WEBHOOK_SECRET.to_owned());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signing = SigningKey::from_pkcs8("bench", &SigningKey::generate()?)?;
    let keys = key_set(&[signing.jwk()]);
    let source = Arc::new(move || {
        let keys = keys.clone();
        Box::pin(async move { Ok(keys) }) as Pin<Box<_>>
    });
    let access = Verifier::new(source, clock.clone());
    let (db, bus) = (db.clone(), bus.clone());
    let deps = payment::Deps {
        db,
        bus,
        clock,
        ids: Arc::new(SystemIds),
        access,
        nearby: Nearby::default(),
    };
    Ok(payment::build(config, deps)?)
}

/// Starts the service as the host does.
fn start(
    mut unit: Unit,
    webhooks: TcpListener,
    mesh: &Mesh,
    servers: &Tasks,
) -> Result<(), Failure> {
    let router = unit.http.take().ok_or("no http face")?;
    serve(servers, webhooks, http::stack(router, &unit));
    let _nobody_listens = mesh.fill(payment::NAME, unit.grpc.take().ok_or("no grpc face")?)?;
    for start in unit.tasks {
        start(unit.tracked.clone());
    }
    Ok(())
}

fn serve(servers: &Tasks, listener: TcpListener, router: axum::Router) {
    let stop = servers.stopping();
    servers.spawn("http", async move {
        if let Err(error) = http::serve(listener, router, stop).await {
            println!("http server failed: {error}");
        }
    });
}

async fn is_empty(db: &Db, any: &'static str) -> Result<bool, Failure> {
    let read = db.read(move |tx| Box::pin(async move { tx.query_opt(any, &[]).await }));
    let left: Result<_, db::Error> = read.await;
    Ok(left?.is_none())
}
