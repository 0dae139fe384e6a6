#![doc = include_str!("../README.md")]

mod app;
pub mod code;
mod counters;
pub mod domain;
mod error;
mod fresh;
mod grpc;
mod keys;
mod ledger;
mod maps;
pub mod ops;
pub mod store;
mod tasks;

use std::sync::Arc;

use db::{Db, Migration};
use kernel::{Clock, Failure, Ids, Secret};
use platform::{Metrics, Tasks, Unit, bus::Bus};
use wire::pb::ticket::v1::serve;

pub use app::App;
pub use error::Error;
pub use maps::{Counters, Seats};

/// The service's name.
pub const NAME: &str = "ticket";

/// Every key of the configuration with its default.
pub const CONFIG: &str = include_str!("../config.toml");

/// The tables of this service.
pub const MIGRATIONS: db::Migrations = db::Migrations {
    owner: NAME,
    postgres: &[
        Migration {
            name: "0001_inventory",
            sql: include_str!("../migrations/postgres/0001_inventory.sql"),
        },
        Migration {
            name: "0002_tickets",
            sql: include_str!("../migrations/postgres/0002_tickets.sql"),
        },
        Migration {
            name: "0003_history",
            sql: include_str!("../migrations/postgres/0003_history.sql"),
        },
    ],
    sqlite: &[
        Migration {
            name: "0001_inventory",
            sql: include_str!("../migrations/sqlite/0001_inventory.sql"),
        },
        Migration {
            name: "0002_tickets",
            sql: include_str!("../migrations/sqlite/0002_tickets.sql"),
        },
        Migration {
            name: "0003_history",
            sql: include_str!("../migrations/sqlite/0003_history.sql"),
        },
    ],
};

/// What can be set.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The longest time a hold may be asked for, in seconds.
    pub max_hold_seconds: u32,
    /// The most requests decided in one transaction.
    pub max_batch: usize,
    /// The most requests that may wait.
    pub max_waiting: usize,
    /// Batches of one kind that may be under way at once.
    pub lanes: usize,
    /// How often the best seats are chosen anew for one request.
    pub max_tries: u32,
    /// How often lapsed holds are looked for, in milliseconds.
    pub expiry_period_ms: u64,
    /// The most holds expired in one transaction.
    pub expiry_batch: u32,
    /// For how long an answer about availability may be given again, in milliseconds.
    pub availability_ttl_ms: u64,
    /// How many events' seat maps are kept in memory.
    pub cached_events: usize,
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let zero = [
            ("max_hold_seconds", self.max_hold_seconds == 0),
            ("max_batch", self.max_batch == 0),
            ("max_waiting", self.max_waiting == 0),
            ("lanes", self.lanes == 0),
            ("max_tries", self.max_tries == 0),
            ("expiry_period_ms", self.expiry_period_ms == 0),
            ("expiry_batch", self.expiry_batch == 0),
            ("cached_events", self.cached_events == 0),
        ];
        match zero.iter().find(|(_, is_zero)| *is_zero) {
            Some((key, _)) => Err(BuildError::Config { key, detail: "must be at least 1" }),
            None => Ok(()),
        }
    }
}

/// What the service is given.
pub struct Deps {
    /// Its database, migrated.
    pub db: Db,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where ids and other randomness come from.
    pub ids: Arc<dyn Ids>,
    /// Where its events go.
    pub bus: Bus,
    /// Seals its signing keys at rest.
    pub secret: Secret<Vec<u8>>,
}

/// Why the service can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A value of the configuration can't be used.
    #[error("ticket.{key}: {detail}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        detail: &'static str,
    },
    /// The signing keys can't be loaded.
    #[error("signing keys: {0}")]
    Keys(Failure),
}

/// Builds the service. Starts nothing.
///
/// # Errors
/// If a value of the configuration can't be used, or the signing keys can't be loaded.
pub async fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    let metrics = Metrics::new();
    let tracked = Tasks::new();
    let app = Arc::new(App::new(config, &deps, &metrics, tracked.clone()).await?);
    let service = serve(grpc::Api { app: app.clone() });
    let (db, bus, counted) = (deps.db.clone(), deps.bus, metrics.clone());
    Ok(Unit::new(NAME, metrics, tracked).grpc(service).database(deps.db).task(move |tasks| {
        app.outbox().relay(db, bus, &counted, &tasks);
        tasks::expire_holds(app, &tasks);
    }))
}
