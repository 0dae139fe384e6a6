//! The distributed shape: one process per service on PostgreSQL with a replica, Redis and Kafka of
//! its own, to be used and to be broken. Heavy, so that there is one at a time.

mod certificates;
mod layout;
mod process;
mod relay;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use db::Db;
use futures_util::future::join_all;
use infra::{
    Fsync, Kafka, KafkaOptions, Keep, Postgres, PostgresOptions, Redis, RedisOptions, Replica,
};
use kernel::Secret;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::Command,
    sync::{Mutex, MutexGuard},
    task::block_in_place,
    time::{Instant, timeout},
};

pub(crate) use self::relay::Relay;
use self::{
    layout::Addresses,
    process::{Guard, Process},
};
use crate::sale::stores::{Servers, Stores};

/// Who starts many processes waits until others are through.
static TURN: Mutex<()> = Mutex::const_new(());
/// How long one command of the binary may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many replicas there are of the services that have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    One,
    Two,
}

/// The servers below the services.
pub(crate) struct Parts {
    pub(crate) postgres: Postgres,
    pub(crate) replica: Replica,
    pub(crate) redis: Redis,
    pub(crate) kafka: Kafka,
}

/// A platform of many processes.
pub(crate) struct Fleet {
    processes: Vec<Process>,
    /// Between booking and each replica of ticket.
    pub(crate) relays: Vec<Relay>,
    pub(crate) parts: Arc<Parts>,
    /// The deployment's secret, as hex digits.
    secret: String,
    _guard: Guard,
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Waits for the turn of a test that starts one heavy process after the other.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

impl Parts {
    /// Starts all of them at once. Blocks.
    fn start() -> Self {
        std::thread::scope(|scope| {
            let postgres = scope.spawn(|| {
                let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
                let postgres = Postgres::start(&options).unwrap_or_else(|error| panic!("{error}"));
                let replica = postgres.add_replica(&Keep::WhileOwned);
                (postgres, replica.unwrap_or_else(|error| panic!("{error}")))
            });
            let redis = scope.spawn(|| {
                let options = RedisOptions { fsync: Fsync::Always, ..RedisOptions::default() };
                Redis::start(&options).unwrap_or_else(|error| panic!("{error}"))
            });
            let kafka = Kafka::start(&KafkaOptions::default());
            let kafka = kafka.unwrap_or_else(|error| panic!("{error}"));
            let (postgres, replica) = postgres.join().unwrap();
            Self { postgres, replica, redis: redis.join().unwrap(), kafka }
        })
    }
}

impl Fleet {
    /// Starts everything, and answers once all is ready and the demo is made.
    pub(crate) async fn start(size: Size, values: &[(&str, &str)]) -> Self {
        Self::start_in(TempDir::new().unwrap(), size, values).await
    }

    /// The same, with mutual TLS between the processes.
    pub(crate) async fn start_over_tls(size: Size, values: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let tls = certificates::write(directory.path());
        let tls = tls.each_ref().map(|(key, value)| (*key, value.as_str()));
        Self::start_in(directory, size, &[values, &tls].concat()).await
    }

    async fn start_in(directory: TempDir, size: Size, values: &[(&str, &str)]) -> Self {
        let turn = turn().await;
        let began = Instant::now();
        let parts = Arc::new(block_in_place(Parts::start));
        let servers = began.elapsed();
        let addresses = Addresses::free(size);
        let mut relays = Vec::new();
        for port in addresses.ports("ticket", "grpc") {
            relays.push(Relay::start(port).await);
        }
        let scheme = layout::scheme(values);
        let behind: Vec<_> = relays.iter().map(|relay| relay.address(scheme)).collect();
        let secret = infra::random_hex(32).unwrap();
        let config = addresses.config(&parts, &secret, values);
        fs::write(directory.path().join("boxoffice.toml"), config).unwrap();
        let processes = addresses.processes(directory.path(), &behind);
        let _guard = Guard::over(directory.path());
        let mut fleet = Self { processes, relays, parts, secret, _guard, directory, _turn: turn };
        fleet.succeed(&["migrate"]).await;
        let migrated = began.elapsed();
        for process in &mut fleet.processes {
            process.spawn();
        }
        join_all(fleet.processes.iter_mut().map(Process::ready)).await;
        let ready = began.elapsed();
        fleet.succeed(&["seed"]).await;
        println!(
            "{} processes: servers after {servers:.1?}, databases {migrated:.1?}, \
             ready {ready:.1?}, seeded {:.1?}",
            fleet.processes.len(),
            began.elapsed()
        );
        fleet
    }

    /// `http://host:port` of each gateway.
    pub(crate) fn gateways(&self) -> Vec<String> {
        self.of("gateway").map(|process| process.url("http")).collect()
    }

    /// The replicas of a service.
    fn of(&self, service: &str) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(move |process| process.service == service)
    }

    /// `http://host:port` of a face of each replica.
    pub(crate) fn faces(&self, service: &str, face: &str) -> Vec<String> {
        self.of(service).map(|process| process.url(face)).collect()
    }

    /// Every process by its service and replica.
    pub(crate) fn names(&self) -> Vec<(&'static str, usize)> {
        self.processes.iter().map(|process| (process.service, process.replica)).collect()
    }

    fn process(&mut self, (service, replica): (&str, usize)) -> &mut Process {
        let mut all = self.processes.iter_mut();
        all.find(|its| its.service == service && its.replica == replica).expect("such a process")
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self, name: (&str, usize)) {
        self.process(name).kill().await;
    }

    /// Starts what was killed, and waits until it is ready.
    pub(crate) async fn start_again(&mut self, name: (&str, usize)) {
        let process = self.process(name);
        process.spawn();
        process.ready().await;
    }

    /// Takes the processor away from it.
    pub(crate) async fn pause(&mut self, name: (&str, usize)) {
        self.process(name).signal("STOP").await;
    }

    /// Ends a pause.
    pub(crate) async fn resume(&mut self, name: (&str, usize)) {
        self.process(name).signal("CONT").await;
    }

    /// Waits until every process is ready again, whatever was broken below it.
    pub(crate) async fn all_ready(&mut self) {
        join_all(self.processes.iter_mut().map(Process::ready)).await;
    }

    /// Asks all processes to stop at once, and waits until they have.
    pub(crate) async fn stop(&mut self) {
        join_all(self.processes.iter_mut().map(Process::stop)).await;
    }

    /// Breaks or mends a part, off the runtime.
    pub(crate) async fn with_parts(
        &self,
        act: impl FnOnce(&Parts) -> Result<(), infra::Failure> + Send + 'static,
    ) {
        let parts = self.parts.clone();
        let acted = tokio::task::spawn_blocking(move || act(&parts)).await.unwrap();
        acted.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
    }

    /// Where everything is kept.
    pub(crate) fn stores(&self) -> Stores {
        Stores::Servers(Servers {
            database: self.parts.postgres.server_url(),
            redis: self.parts.redis.url(),
            brokers: self.brokers(),
            sandbox: self.sandbox(),
            instead: None,
        })
    }

    pub(crate) fn brokers(&self) -> String {
        self.parts.kafka.brokers()
    }

    fn sandbox(&self) -> PathBuf {
        self.of("stripe-sandbox").next().expect("the sandbox").state()
    }

    /// What callers are signed with.
    pub(crate) fn key(&self) -> Secret<Vec<u8>> {
        let pairs = self.secret.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        Secret::new(pairs.map(byte).collect())
    }

    /// Changes a database behind the platform's back.
    pub(crate) async fn change(&self, database: &str, statement: &'static str) {
        let db = Db::open(&self.stores().settings(database)).await.unwrap();
        let changed = db.write(move |tx| Box::pin(async move { tx.execute(statement, &[]).await }));
        assert!(changed.await.unwrap() > 0, "{statement}");
        db.close().await;
    }

    /// Passwords of the demo accounts by address.
    pub(crate) async fn passwords(&self) -> BTreeMap<String, String> {
        let accounts = format!("{}/demo/accounts", self.gateways()[0]);
        let accounts: Value = reqwest::get(accounts).await.unwrap().json().await.unwrap();
        let accounts = accounts["accounts"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        accounts.map(|its| (text(&its["email"]), text(&its["password"]))).collect()
    }

    /// Runs a command of the binary with the fleet's configuration.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
        command.args(arguments).current_dir(self.directory.path());
        // Kept apart: it takes its state directory for itself.
        command.arg("--set").arg("boxoffice.state_directory=command");
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        timeout(PATIENCE, output).await.unwrap_or_else(|_| panic!("{arguments:?}")).unwrap()
    }

    async fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{complained}");
    }

    /// The end of what each process has logged.
    pub(crate) fn logs(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }

    /// Where configuration, logs and the sandbox's books are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves configuration and logs where they are, for a look.
    pub(crate) fn keep_logs(&mut self) {
        self.directory.disable_cleanup(true);
        self._guard.keep();
    }
}

impl Size {
    fn replicas(self, several: bool) -> usize {
        if several && self == Self::Two { 2 } else { 1 }
    }
}
