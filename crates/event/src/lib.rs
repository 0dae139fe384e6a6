#![doc = include_str!("../README.md")]

mod app;
mod cache;
mod consumers;
mod domain;
mod error;
mod events;
mod grpc;
mod inventory;
mod ops;
mod store;
mod tasks;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use db::{Db, Migration, Migrations};
use kernel::{Clock, Ids};
use platform::{
    Metrics, Tasks, Unit,
    bus::{Bus, CATALOG_EVENTS},
    kv::Kv,
    outbox::Outbox,
};
use tokio::sync::Notify;
use wire::{Wire, pb::event::v1::serve};

use crate::{
    app::{App, Counters},
    cache::{Cache, Limits},
};

/// The service's name.
pub const NAME: &str = "event";
/// Every key with its default and what it means.
pub const CONFIG: &str = include_str!("../config.toml");
/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations {
    owner: NAME,
    postgres: &[
        Migration {
            name: "0001_events",
            sql: include_str!("../migrations/postgres/0001_events.sql"),
        },
        Migration {
            name: "0002_seats_sequence",
            sql: include_str!("../migrations/postgres/0002_seats_sequence.sql"),
        },
    ],
    sqlite: &[
        Migration {
            name: "0001_events",
            sql: include_str!("../migrations/sqlite/0001_events.sql"),
        },
        Migration {
            name: "0002_seats_sequence",
            sql: include_str!("../migrations/sqlite/0002_seats_sequence.sql"),
        },
    ],
};

/// What can be set; `config.toml` says what each key means.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often due events are looked for, in milliseconds.
    pub advance_every_ms: u64,
    /// The most events moved on in one transaction.
    pub advance_batch: u32,
    /// How long an event is kept in memory, in milliseconds.
    pub cache_ttl_ms: u64,
    /// The most events kept in memory.
    pub cache_events: u64,
    /// The most published plans kept in memory.
    pub cache_plans: u64,
}

/// What the service works with.
pub struct Deps {
    /// Its database, migrated with platform's migrations and [`MIGRATIONS`].
    pub db: Db,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn Ids>,
    /// The event log.
    pub bus: Bus,
    /// Tells other replicas what to forget.
    pub kv: Kv,
    /// The way to ticket-service.
    pub ticket: Wire,
}

/// A configuration that the service can't work with.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A value is out of range.
    #[error("event.{key}: must be {range}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What it may be.
        range: &'static str,
    },
}

/// Builds the service; starts nothing.
///
/// # Errors
/// Names the key whose value is out of range.
pub fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    config.check()?;
    let (metrics, bus, db) = (Metrics::new(), deps.bus.clone(), deps.db.clone());
    let app = assemble(&config, deps, &metrics);
    let server = serve(grpc::Api { app: Arc::clone(&app) });
    let (tracked, own) = (app.tasks.clone(), metrics.clone());
    let period = Duration::from_millis(config.advance_every_ms);
    let start = move |tasks: Tasks| tasks::start(&app, &bus, period, &own, &tasks);
    Ok(Unit::new(NAME, metrics, tracked).grpc(server).database(db).task(start))
}

fn assemble(config: &Config, deps: Deps, metrics: &Metrics) -> Arc<App> {
    let limits = Limits {
        ttl: Duration::from_millis(config.cache_ttl_ms),
        events: config.cache_events,
        plans: config.cache_plans,
    };
    Arc::new(App {
        cache: Cache::new(deps.db.clone(), deps.kv, limits),
        db: deps.db,
        clock: deps.clock,
        ids: deps.ids,
        outbox: Outbox::new(CATALOG_EVENTS),
        tasks: Tasks::new(),
        ticket: deps.ticket,
        due: Arc::new(Notify::new()),
        advance_batch: config.advance_batch,
        counters: Counters::new(metrics),
    })
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let rules = [
            ("advance_every_ms", (10..=60_000).contains(&self.advance_every_ms), "10 to 60000"),
            ("advance_batch", (1..=1_000).contains(&self.advance_batch), "1 to 1000"),
            ("cache_ttl_ms", (1..=60_000).contains(&self.cache_ttl_ms), "1 to 60000"),
            ("cache_events", self.cache_events >= 1, "at least 1"),
            ("cache_plans", self.cache_plans >= 1, "at least 1"),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, range)) => Err(BuildError::OutOfRange { key, range }),
            None => Ok(()),
        }
    }
}
