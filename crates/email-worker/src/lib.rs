#![doc = include_str!("../README.md")]

mod app;
mod consumers;
mod domain;
mod error;
mod grpc;
mod http;
mod ops;
mod provider;
mod store;
mod tasks;
mod templates;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use db::{Db, Migration, Migrations};
use kernel::{Clock, Ids};
use platform::{
    Metrics, Tasks, Unit,
    bus::{ACCOUNT_EVENTS, BOOKING_EVENTS, Bus, Urgency},
};
use tokio::sync::Notify;
use wire::pb::email_worker::v1::serve;

use crate::{app::App, domain::Pace, provider::Provider, templates::Templates};

/// The service's name.
pub const NAME: &str = "email-worker";

/// Every key of the configuration with its default.
pub const CONFIG: &str = include_str!("../config.toml");

/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations {
    owner: NAME,
    postgres: &[
        Migration {
            name: "0001_mails",
            sql: include_str!("../migrations/postgres/0001_mails.sql"),
        },
        Migration {
            name: "0002_letters",
            sql: include_str!("../migrations/postgres/0002_letters.sql"),
        },
        Migration {
            name: "0003_addresses",
            sql: include_str!("../migrations/postgres/0003_addresses.sql"),
        },
    ],
    sqlite: &[
        Migration { name: "0001_mails", sql: include_str!("../migrations/sqlite/0001_mails.sql") },
        Migration {
            name: "0002_letters",
            sql: include_str!("../migrations/sqlite/0002_letters.sql"),
        },
        Migration {
            name: "0003_addresses",
            sql: include_str!("../migrations/sqlite/0003_addresses.sql"),
        },
    ],
};

/// The section `[email-worker]`; see `config.toml`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How mails leave: `mailbox:`.
    pub provider: String,
    /// Tries until a mail is given up.
    pub max_attempts: u32,
    /// The wait before the second try.
    pub retry_seconds: u64,
    /// How many mails are delivered at once.
    pub batch: u32,
    /// How many mails are delivered a second at most.
    pub deliveries_per_second: u32,
    /// How long a delivery may take.
    pub lease_seconds: u64,
    /// How long mails are kept.
    pub keep_days: u64,
}

/// What the service needs.
pub struct Deps {
    /// Its database.
    pub db: Db,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn Ids>,
    /// The event log.
    pub bus: Bus,
}

/// Why the service can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A configuration value can't be used.
    #[error("email-worker.{key}: {detail}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A template that ships with the service is broken.
    #[error("template: {0}")]
    Template(#[from] minijinja::Error),
}

/// Builds the service; nothing of it runs yet.
///
/// # Errors
/// If a configuration value can't be used.
pub fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    config.check()?;
    let metrics = Metrics::new();
    let tasks = Tasks::new();
    let app = Arc::new(App {
        provider: Provider::from_url(&config.provider)
            .map_err(|detail| wrong("provider", detail))?,
        templates: Templates::new()?,
        counts: app::Counts::new(&metrics),
        letters: ops::letters(deps.db.clone()),
        pace: Mutex::new(Pace::new(config.deliveries_per_second)),
        due: Arc::new(Notify::new()),
        db: deps.db,
        clock: deps.clock,
        ids: deps.ids,
        tasks: tasks.clone(),
        config,
    });
    let (bus, counts, consumer) = (deps.bus, metrics.clone(), app.clone());
    Ok(Unit::new(NAME, metrics, tasks)
        .grpc(serve(grpc::Api { app: app.clone() }))
        .http(http::routes(app.clone()))
        .database(app.db.clone())
        .task(move |tasks| {
            let handler = consumers::handler(consumer);
            bus.consume(
                (NAME, Urgency::Relaxed),
                &[ACCOUNT_EVENTS, BOOKING_EVENTS],
                handler,
                &counts,
                &tasks,
            );
        })
        .task(move |tasks| tasks::start(&app, &tasks)))
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let ranges = [
            ("max_attempts", u64::from(self.max_attempts), 1..=100),
            ("retry_seconds", self.retry_seconds, 1..=3_600),
            ("batch", u64::from(self.batch), 1..=1_000),
            ("deliveries_per_second", u64::from(self.deliveries_per_second), 1..=100_000),
            ("lease_seconds", self.lease_seconds, 5..=3_600),
            ("keep_days", self.keep_days, 1..=3_650),
        ];
        match ranges.into_iter().find(|(_, value, range)| !range.contains(value)) {
            None => Ok(()),
            Some((key, value, range)) => Err(wrong(
                key,
                format!("{value} is not within {} to {}", range.start(), range.end()),
            )),
        }
    }
}

fn wrong(key: &'static str, detail: impl Into<String>) -> BuildError {
    BuildError::Config { key, detail: detail.into() }
}
