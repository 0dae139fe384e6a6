#![doc = include_str!("../README.md")]
//! The call itself: where the stores are, how to look, and the order of it.

mod error;
mod facts;
mod journal;
mod kafka;
mod notes;
mod postgres;
mod redis;
mod report;
mod rules;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use kernel::{Clock, SystemClock};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

pub use self::{
    error::Error,
    journal::{Acknowledged, Journal, body_hash},
    report::{Finding, Money, Report, Verdict},
};
use self::{
    facts::{Depth, Fact},
    notes::Notes,
    rules::{Needs, UNSETTLED},
};

/// The services' databases, by name.
pub const DATABASES: [&str; 7] = [
    "booking_service",
    "booking_system_ticket",
    "payment_db",
    "booking_system",
    "booking_system_event",
    "booking_system_auth",
    "user_service",
];

const WAITING: &str = include_str!("waiting.sql");
const DERIVED: &str = include_str!("derived.sql");
/// The pause before a platform that does not rest yet is looked at again.
const POLL: Duration = Duration::from_millis(300);

/// Where everything of one platform is kept.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Each of [`DATABASES`].
    pub databases: BTreeMap<&'static str, Database>,
    /// The event log.
    pub log: Log,
    /// The waiting queue.
    pub queue: Queue,
    /// The SQLite file with the payment sandbox's own books; none where the provider is another.
    pub provider: Option<PathBuf>,
}

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Server(Server),
}

/// A database of a PostgreSQL server.
#[derive(Clone)]
pub struct Server {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// PEM file with the roots that the server's certificate must be signed by; none: no TLS.
    pub ca_file: Option<PathBuf>,
}

/// Where the event log is.
#[derive(Debug, Clone)]
pub enum Log {
    /// A SQLite file.
    File(PathBuf),
    /// Kafka.
    Brokers {
        /// `host:port,host:port`.
        brokers: String,
        /// What stands before topics and groups.
        namespace: String,
    },
}

/// Where the waiting queue is.
#[derive(Clone)]
pub enum Queue {
    /// A SQLite file.
    File(PathBuf),
    /// Redis.
    Redis {
        /// `redis://user:password@host:port`.
        url: String,
        /// What stands before keys.
        namespace: String,
    },
}

/// How to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// What clients were told.
    pub journal: Option<PathBuf>,
    /// How long to wait until nothing is unsettled, before looking.
    pub settle: Duration,
    /// How long after its time something may be done without being late.
    pub grace: Duration,
    /// Where not all rests, bookings that changed later than this before the reading began are not
    /// judged: one store may have been read before the change, and another after it.
    pub quiet: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal: None,
            settle: Duration::ZERO,
            grace: Duration::from_secs(60),
            quiet: Duration::from_secs(15),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a PostgreSQL server")
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::File(_)) { "a file" } else { "a Redis" })
    }
}

impl Stores {
    /// The stores of a platform in one process that keeps all in `state`.
    #[must_use]
    pub fn in_directory(state: &Path) -> Self {
        let file = |name: &str| state.join(format!("{name}.sqlite"));
        Self {
            databases: DATABASES.map(|name| (name, Database::File(file(name)))).into(),
            log: Log::File(file("bus")),
            queue: Queue::File(file("kv")),
            provider: Some(file("stripe_sandbox")),
        }
    }
}

/// Reads all stores, once nothing is unsettled or the time for that is over, and says what breaks
/// a rule. Changes nothing; the platform may be at work meanwhile.
///
/// # Errors
/// If a store can't be read, or the journal.
pub async fn run(stores: &Stores, options: &Options) -> Result<Report, Error> {
    let give_up = Instant::now() + options.settle;
    while !options.settle.is_zero()
        && !unsettled(stores).await?.is_empty()
        && Instant::now() < give_up
    {
        sleep(POLL).await;
    }
    let (stores, options) = (stores.clone(), options.clone());
    apart(move |runtime| {
        let notes = Notes::new()?;
        let began = SystemClock.now();
        let overdue = began.minus(options.grace);
        let bound = [began, overdue, began].map(|at| at.micros().to_string()).join(", ");
        notes.run(&format!("insert into bound values ({bound})"))?;
        take(&stores, Depth::All, (&notes, runtime))?;
        if let Some(journal) = &options.journal {
            notes.take_journal(journal)?;
        }
        judge(&stores, &options, &notes)
    })
    .await
}

/// What has yet to be done, in words: at most a hundred of it. Reads far less than [`run`].
///
/// # Errors
/// If a store can't be read.
pub async fn unsettled(stores: &Stores) -> Result<Vec<Finding>, Error> {
    let stores = stores.clone();
    apart(move |runtime| {
        let notes = Notes::new()?;
        take(&stores, Depth::Open, (&notes, runtime))?;
        notes.run(WAITING)?;
        Ok(notes.ask(&UNSETTLED)?.findings)
    })
    .await
}

/// Off the runtime: reading and counting block.
async fn apart<T: Send + 'static>(
    work: impl FnOnce(&Handle) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || work(&runtime));
    done.await.unwrap_or_else(|error| Err(Error::store("everything", error)))
}

fn take(stores: &Stores, depth: Depth, (notes, runtime): (&Notes, &Handle)) -> Result<(), Error> {
    for name in DATABASES {
        let database = stores.databases.get(name);
        let is_log = matches!((database, &stores.log), (Some(Database::File(_)), Log::File(_)));
        let facts: Vec<&Fact> = facts::of(name, is_log).collect();
        match database {
            Some(Database::File(path)) => notes.take_file(path, (name, &facts), depth)?,
            Some(Database::Server(server)) => {
                runtime.block_on(postgres::take(server, (name, &facts), depth, notes))?;
            }
            None => return Err(Error::store(name, "nobody says where it is")),
        }
    }
    let file = |path: &Path, name, facts: &'static [Fact]| {
        notes.take_file(path, (name, &facts.iter().collect::<Vec<_>>()), depth)
    };
    if let Some(path) = &stores.provider {
        file(path, "the provider", facts::PROVIDER)?;
    }
    match &stores.log {
        Log::File(path) => file(path, "the log", facts::LOG)?,
        Log::Brokers { brokers, namespace } => kafka::take((brokers, namespace), depth, notes)?,
    }
    match &stores.queue {
        Queue::File(path) => file(path, "the queue", facts::QUEUE),
        Queue::Redis { url, namespace } => redis::take(url, namespace, depth, notes),
    }
}

fn judge(stores: &Stores, options: &Options, notes: &Notes) -> Result<Report, Error> {
    notes.run(WAITING)?;
    let unsettled = notes.ask(&UNSETTLED)?;
    if unsettled.count > 0 {
        let quiet = options.quiet.as_micros();
        notes.run(&format!("update bound set judged = began - {quiet}"))?;
    }
    notes.run(DERIVED)?;
    let mut rules = Vec::new();
    for rule in rules::all() {
        let can = match rule.needs {
            Needs::Stores => true,
            Needs::Provider => stores.provider.is_some(),
            Needs::Journal => options.journal.is_some(),
        };
        rules.push(if can { notes.ask(rule)? } else { rule.unasked() });
    }
    Ok(Report { looked_at: notes.counts()?, money: notes.money()?, rules, unsettled })
}
