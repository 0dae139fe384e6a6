//! The service through its faces: real sockets on a loopback listener, several replicas on one
//! key-value store.

mod clients;
mod delivery;
mod doors;
mod limits;
mod pipe;
mod rooms;
mod telling;
mod timing;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kernel::{AccountId, Clock, EventId, Ids, Role, SessionId};
use platform::{
    Metrics, Tasks, Unit,
    bus::Bus,
    kv::Kv,
    tokens::{Claims, KeySource, SigningKey, Verifier, key_set},
};
use serde_json::Value;
use testkit::{ManualClock, SeededIds, TestDb};
use tokio::net::TcpListener;
use uuid::Uuid;

use self::clients::Client;
use crate::{
    CONFIG, Config, Deps,
    app::App,
    domain::Room,
    relay::{self, Post},
};

/// What replicas share.
struct World {
    clock: Arc<ManualClock>,
    ids: Arc<SeededIds>,
    bus: Bus,
    kv: Kv,
    key: SigningKey,
    /// Runs the event log.
    _tasks: Tasks,
    _side: TestDb,
}

/// One replica, with its HTTP face listening.
struct Replica {
    app: Arc<App>,
    address: SocketAddr,
    metrics: Metrics,
    /// Runs the listener.
    _door: Tasks,
}

fn config() -> Config {
    toml::from_str(CONFIG).expect("the defaults")
}

fn event(number: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(number))
}

fn account(number: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(number))
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let side = testkit::sqlite(&[]).await;
        let tasks = Tasks::new();
        let pkcs8 = SigningKey::generate().unwrap();
        Self {
            bus: Bus::memory(side.db.clone(), tasks.clone()).await.unwrap(),
            kv: Kv::memory(side.db.clone(), clock.clone()).await.unwrap(),
            ids: Arc::new(SeededIds::new(7)),
            key: SigningKey::from_pkcs8("one", &pkcs8).unwrap(),
            clock,
            _tasks: tasks,
            _side: side,
        }
    }

    fn deps(&self) -> Deps {
        let keys = key_set(&[self.key.jwk()]);
        let source: KeySource = Arc::new(move || {
            let keys = keys.clone();
            Box::pin(async move { Ok(keys) })
        });
        Deps {
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            bus: self.bus.clone(),
            kv: self.kv.clone(),
            access: Verifier::new(source, self.clock.clone()),
        }
    }

    /// The service as built, with nothing of it running.
    fn app(&self, config: Config) -> (Arc<App>, Unit) {
        let metrics = Metrics::new();
        let mut app = crate::app(config, self.deps(), &metrics).expect("a fine configuration");
        // Its replicas share what in the product one process has to itself.
        Arc::get_mut(&mut app).expect("not shared yet").is_alone = false;
        let unit = crate::unit(app.clone(), self.bus.clone(), metrics);
        (app, unit)
    }

    async fn replica(&self, config: Config) -> Replica {
        self.start(config, true).await
    }

    /// A further replica: the group consumes once, and here the first one does.
    async fn replica_beside(&self, config: Config) -> Replica {
        self.start(config, false).await
    }

    async fn start(&self, config: Config, consumes: bool) -> Replica {
        let (app, mut unit) = self.app(config);
        let routes = unit.http.take().expect("an http face");
        let routes = platform::http::stack(routes.merge(platform::http::faces(&unit)), &unit);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Tasks::new();
        let stop = door.stopping();
        door.spawn("door", async move {
            platform::http::serve(listener, routes, stop).await.unwrap();
        });
        let tasks = unit.tasks.into_iter().take(if consumes { 2 } else { 1 });
        tasks.for_each(|start| start(unit.tracked.clone()));
        until(|| app.listening.load(std::sync::atomic::Ordering::Relaxed)).await;
        Replica { app, address, metrics: unit.metrics, _door: door }
    }

    fn claims(&self, account: AccountId) -> Claims {
        let now = self.clock.now();
        Claims {
            account,
            session: SessionId::from_uuid(self.ids.uuid(now)),
            role: Role::Individual,
            organization: None,
            expires_at: now.plus(Duration::from_secs(900)),
        }
    }

    fn token(&self, account: AccountId) -> String {
        self.key.sign(&self.claims(account), self.clock.now()).unwrap()
    }
}

impl Replica {
    /// A visitor, who has been welcomed.
    async fn visitor(&self) -> Client {
        let mut client = Client::connect(self.address, "", None).await.expect("connected");
        client.expect("system:connected").await;
        client
    }

    /// Somebody with an account, who has been welcomed and is in the own room.
    async fn signed_in(&self, world: &World, account: AccountId) -> Client {
        let token = world.token(account);
        let mut client = Client::connect(self.address, "", Some(&token)).await.expect("connected");
        client.expect("system:connected").await;
        assert_eq!(client.expect("room:joined").await["room"], Room::User(account).to_string());
        client
    }

    /// Sends a message to a room of all replicas.
    async fn post(&self, room: Room, kind: &str, payload: &Value) {
        let post = Post { room, kind: kind.to_owned(), payload: payload.to_string() };
        relay::publish(&self.app, &post).await.unwrap();
    }
}

/// Waits until something is so.
async fn until(mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time");
}
