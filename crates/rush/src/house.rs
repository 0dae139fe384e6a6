//! A platform that the rush starts for itself, to be measured and thrown away: one process on
//! SQLite, one process per service on PostgreSQL, Redis and Kafka of its own, or one process on
//! such servers. Everything here blocks.

mod layout;
mod process;

use std::{fs, path::PathBuf, str::FromStr, time::Duration};

use infra::{
    Fsync, Guard, Kafka, KafkaOptions, Postgres, PostgresOptions, Redis, RedisOptions, Waited,
    until,
};
use serde::Serialize;
use tempfile::TempDir;

use self::{layout::Layout, process::Process};
use crate::{Failure, Scenario, meter::Part};

/// How the platform runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// All services in one process, on files.
    One,
    /// All services in one process, on servers.
    Servers,
    /// A process per service, on servers.
    Distributed,
}

/// What is measured: the binary, and the faces of its services.
#[derive(Debug, Clone)]
pub struct Product {
    /// The binary.
    pub binary: PathBuf,
    /// Each service with its faces (`grpc`, `http`, `metrics`), in the order of their start.
    pub services: Vec<(&'static str, Vec<&'static str>)>,
    /// Configuration beside what the scenario needs, `section.key` and value.
    pub values: Vec<(String, String)>,
    /// Whether it runs for so long that its servers do well to prepare for it.
    pub is_lasting: bool,
}

/// A running platform. It ends when this is dropped, and when the process ends.
pub struct House {
    /// `http://host:port`.
    pub gateway: String,
    /// The arguments with which a command of the binary finds the platform's stores.
    pub(crate) stores: Vec<String>,
    processes: Vec<Process>,
    /// Ends the processes; before their servers, which come after it here.
    guard: Guard,
    servers: Option<Servers>,
    _directory: TempDir,
}

/// The servers below the services.
pub(crate) struct Servers {
    pub(crate) postgres: Postgres,
    redis: Redis,
    kafka: Kafka,
}

/// How long all processes together may take to be ready.
const READY_TIME: Duration = Duration::from_secs(120);
/// Eight a database and process.
const MAX_CONNECTIONS: u32 = 400;
/// Whoever comes, comes from this one machine.
const ROOMY: &str = "1000000";
/// What the process says once the demo is made.
const GREETING: &str = "boxoffice is ready";
const CONFIGURATION: &str = "boxoffice.toml";

impl FromStr for Shape {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        match word {
            "one" => Ok(Self::One),
            "servers" => Ok(Self::Servers),
            "distributed" => Ok(Self::Distributed),
            _ => Err(Failure::new(format!("{word:?} is no shape: one, servers or distributed"))),
        }
    }
}

impl Shape {
    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one process",
            Self::Servers => "one process on servers",
            Self::Distributed => "distributed",
        }
    }
}

impl House {
    /// Starts a platform for a scenario, and waits until it is ready.
    ///
    /// # Errors
    /// Why it doesn't start, with the end of its log.
    pub fn start(shape: Shape, product: &Product, scenario: &Scenario) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("rush").tempdir()?;
        let guard = Guard::over(directory.path())?;
        let servers = match shape {
            Shape::One => None,
            Shape::Servers | Shape::Distributed => Some(Servers::start(product.is_lasting)?),
        };
        let is_distributed = shape == Shape::Distributed;
        let layout = Layout::free(&product.services)?;
        let mut values = values(scenario);
        values.extend_from_slice(&product.values);
        let mut own: Vec<_> = servers.iter().flat_map(Servers::values).collect();
        if is_distributed {
            own.extend(layout.neighbours()?);
        }
        let text = layout.config(own, &values);
        let home = guard.directory().to_owned();
        let config = home.join(CONFIGURATION);
        fs::write(&config, text)?;
        let gateway = layout.url("gateway", "http")?;
        let command = |name: &str, arguments: &[&str]| {
            Process::new(&product.binary, &home, (name, &config), arguments)
        };
        let mut processes = Vec::new();
        if is_distributed {
            command("migrate", &["migrate"])?.succeed()?;
            for (name, _) in &product.services {
                let ready = layout.url(name, layout::ready_face(&product.services, name))?;
                processes.push(command(name, &["serve", name])?.spawn(&ready)?);
            }
        } else {
            processes.push(command("boxoffice", &["up"])?.spawn(&gateway)?);
        }
        let path = |path: &str| home.join(path).display().to_string();
        let mut stores = vec!["--config".to_owned(), path(CONFIGURATION), "--state".to_owned()];
        if is_distributed {
            let books = path("stripe-sandbox/state/stripe_sandbox.sqlite");
            stores.extend([path("audit"), "--provider".to_owned(), books]);
        } else {
            stores.push(path("boxoffice/state"));
        }
        let mut house = Self { gateway, stores, processes, servers, guard, _directory: directory };
        // All services in one process make the demo by themselves, and greet after that.
        house.await_ready(!is_distributed)?;
        if is_distributed {
            Process::new(&product.binary, &home, ("seed", &config), &["seed"])?.succeed()?;
        }
        Ok(house)
    }

    /// What takes processor time and writes.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<_> = self
            .processes
            .iter()
            .map(|process| Part::process(&process.name, process.pid()))
            .collect();
        if let Some(servers) = &self.servers {
            parts.push(Part::postgres(servers.postgres.directory()));
            parts.push(Part::server("redis", servers.redis.directory()));
            parts.push(Part::server("kafka", servers.kafka.directory()));
        }
        parts
    }

    /// The server of the databases, if there is one.
    #[must_use]
    pub fn database(&self) -> Option<String> {
        self.servers.as_ref().map(|servers| servers.postgres.local_url())
    }

    /// Whether all processes are still there; otherwise what the first that is not has said last.
    ///
    /// # Errors
    /// If one has ended.
    pub fn is_whole(&mut self) -> Result<(), Failure> {
        self.processes.iter_mut().try_for_each(Process::is_there)
    }

    /// Ends its processes orderly; its servers end when it is dropped.
    ///
    /// # Errors
    /// If one had ended before, does not end in time, or does not end well.
    pub fn end(mut self) -> Result<(), Failure> {
        self.is_whole()?;
        self.processes.iter().try_for_each(Process::stop)?;
        self.processes.iter_mut().try_for_each(Process::await_end)
    }

    fn await_ready(&mut self, greets: bool) -> Result<(), Failure> {
        for process in &mut self.processes {
            let ready = until(READY_TIME, || match process.is_there() {
                Err(ended) => Some(Err(ended)),
                Ok(()) if greets && !process.has_said(GREETING) => None,
                Ok(()) => process.is_ready().then_some(Ok(())),
            });
            match ready {
                Waited::Came(outcome) => outcome?,
                Waited::TooLong => {
                    let (name, log) = (&process.name, process.log());
                    return Err(Failure::new(format!("{name} is not ready in time\n{log}")));
                }
            }
        }
        Ok(())
    }

    /// Its processes, each with its number.
    #[must_use]
    pub fn processes(&self) -> Vec<(&str, u32)> {
        self.processes.iter().filter_map(|its| Some((its.name.as_str(), its.pid()?))).collect()
    }

    /// Where everything is.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.guard.directory()
    }
}

impl Servers {
    /// Starts all of them at once, durable.
    fn start(is_lasting: bool) -> Result<Self, Failure> {
        std::thread::scope(|scope| {
            let postgres = scope.spawn(|| {
                let max_connections = MAX_CONNECTIONS;
                Postgres::start(&PostgresOptions { max_connections, ..Default::default() })
            });
            let redis = scope.spawn(|| {
                Redis::start(&RedisOptions { fsync: Fsync::Always, ..Default::default() })
            });
            let kafka = Kafka::start(&KafkaOptions { is_lasting, ..Default::default() })?;
            let panicked = |_| infra::Failure::new("starting a server panicked");
            Ok(Self {
                postgres: postgres.join().map_err(panicked)??,
                redis: redis.join().map_err(panicked)??,
                kafka,
            })
        })
    }

    fn values(&self) -> [(String, String); 3] {
        [
            ("boxoffice.database", self.postgres.local_url()),
            ("boxoffice.kv", self.redis.local_url()),
            ("boxoffice.bus", format!("kafka://{}", self.kafka.brokers())),
        ]
        .map(|(key, value)| (key.to_owned(), value))
    }
}

/// Within how many seconds after a sale all its mails are to be sent, which the audit waits for.
const MAIL_SECONDS: u32 = 240;

/// What a scenario needs: room for a crowd from one address, quick passwords that nobody uses
/// again, tokens that last as long as the sale.
fn values(scenario: &Scenario) -> Vec<(String, String)> {
    let limits = ["visitor", "account", "sign_in"].into_iter().flat_map(|who| {
        ["burst", "per_minute"].map(|what| (format!("gateway.{who}_{what}"), ROOMY.to_owned()))
    });
    let sockets = scenario.account_sockets + scenario.background.sockets + 1_000;
    let waiting = scenario.buyers.saturating_mul(2).max(100_000);
    let mails = (scenario.accounts + scenario.places) / MAIL_SECONDS;
    let own = [
        ("auth.argon2_memory_kib", "64".to_owned()),
        ("auth.argon2_passes", "1".to_owned()),
        ("auth.access_ttl_seconds", "86400".to_owned()),
        ("booking.hold_ttl_seconds", scenario.hold_ttl.as_secs().to_string()),
        ("booking-worker.max_waiting", waiting.min(10_000_000).to_string()),
        ("email-worker.deliveries_per_second", mails.clamp(100, 10_000).to_string()),
        ("realtime.max_connections", sockets.to_string()),
        ("boxoffice.demo", "true".to_owned()),
        ("boxoffice.sandbox", "true".to_owned()),
        ("log.filter", "warn".to_owned()),
    ];
    limits.chain(own.map(|(key, value)| (key.to_owned(), value))).collect()
}
