//! The booking service: bookings, their saga and their state machine.
#![doc = include_str!("../README.md")]

mod app;
mod change;
mod consumers;
mod desk;
mod domain;
mod error;
mod flights;
mod grpc;
mod http;
mod lag;
mod metrics;
mod ops;
mod refusals;
mod saga;
mod shapes;
mod store;
mod tasks;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use db::{Coalescer, CoalescerSettings};
use kernel::{Clock, Ids};
use platform::{
    Metrics, Tasks, Unit,
    bus::{BOOKING_EVENTS, Bus, PAYMENT_EVENTS, Urgency},
    outbox::Outbox,
    tokens::{Seal, Verifier},
};
use wire::{Wire, pb::booking::v1::serve};

use error::Error;

use crate::{
    app::App, desk::Desk, flights::Flights, lag::Lag, metrics::Counts, refusals::Refusals,
};

/// The service's name.
pub const NAME: &str = "booking";

/// Every configuration key with its default and what it means.
pub const CONFIG: &str = include_str!("../config.toml");

/// The service's tables.
pub const MIGRATIONS: db::Migrations = db::Migrations {
    owner: NAME,
    postgres: &[
        db::Migration {
            name: "0001_bookings",
            sql: include_str!("../migrations/postgres/0001_bookings.sql"),
        },
        db::Migration {
            name: "0002_booking_keys",
            sql: include_str!("../migrations/postgres/0002_booking_keys.sql"),
        },
        db::Migration {
            name: "0003_lists",
            sql: include_str!("../migrations/postgres/0003_lists.sql"),
        },
        db::Migration {
            name: "0004_history",
            sql: include_str!("../migrations/postgres/0004_history.sql"),
        },
        db::Migration {
            name: "0005_thin_history",
            sql: include_str!("../migrations/postgres/0005_thin_history.sql"),
        },
        db::Migration {
            name: "0006_json_as_written",
            sql: include_str!("../migrations/postgres/0006_json_as_written.sql"),
        },
    ],
    sqlite: &[
        db::Migration {
            name: "0001_bookings",
            sql: include_str!("../migrations/sqlite/0001_bookings.sql"),
        },
        db::Migration {
            name: "0002_booking_keys",
            sql: include_str!("../migrations/sqlite/0002_booking_keys.sql"),
        },
        db::Migration {
            name: "0003_lists",
            sql: include_str!("../migrations/sqlite/0003_lists.sql"),
        },
        db::Migration {
            name: "0004_history",
            sql: include_str!("../migrations/sqlite/0004_history.sql"),
        },
        db::Migration {
            name: "0005_thin_history",
            sql: include_str!("../migrations/sqlite/0005_thin_history.sql"),
        },
    ],
};

/// The service's configuration, as `config.toml` explains it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long places are held, in seconds.
    pub hold_ttl_seconds: u32,
    /// How long a booking is leased to who works on it, in seconds.
    pub lease_seconds: u64,
    /// How long a call to another service may take, in seconds.
    pub call_timeout_seconds: u64,
    /// How long a repeated request waits for the first, in seconds.
    pub wait_seconds: u64,
    /// How often due bookings are looked for, in milliseconds.
    pub resume_period_ms: u64,
    /// The most due bookings taken at once.
    pub resume_batch: u32,
    /// How many of them are worked on at the same time.
    pub resume_concurrency: usize,
    /// The first pause after a failed step, in milliseconds.
    pub retry_first_ms: u64,
    /// The longest pause after a failed step, in seconds.
    pub retry_limit_seconds: u64,
    /// After how many failures a step is given up.
    pub max_attempts: u32,
    /// The most writes decided in one transaction.
    pub max_batch: usize,
    /// The most writes that may wait.
    pub max_waiting: usize,
    /// How many batches may be under way at once.
    pub lanes: usize,
    /// How long a refusal is remembered, in milliseconds; 0 for never.
    pub refusal_memory_ms: u64,
}

/// The handles the service works with.
pub struct Deps {
    /// Its database.
    pub db: db::Db,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: Arc<dyn Ids>,
    /// The event log.
    pub bus: Bus,
    /// The way to event-service.
    pub event: Wire,
    /// The way to ticket-service.
    pub ticket: Wire,
    /// The way to payment-service.
    pub payment: Wire,
    /// Opens admissions.
    pub seal: Seal,
    /// Verifies access tokens at its own REST face.
    pub access: Verifier,
}

/// A configuration the service can't work with.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A value is out of range.
    #[error("booking.{key}: {detail}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        detail: &'static str,
    },
}

/// The service, ready to be started.
///
/// # Errors
/// If a configuration value is out of range.
pub fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    config.check()?;
    let (metrics, tasks) = (Metrics::new(), Tasks::new());
    let (bus, db) = (deps.bus.clone(), deps.db.clone());
    let app = Arc::new(App::new(config, deps, &metrics, &tasks));
    let grpc = serve(grpc::Api { app: app.clone() });
    let unit = Unit::new(NAME, metrics.clone(), tasks)
        .grpc(grpc)
        .database(db.clone())
        .http(http::routes(app.clone()));
    Ok(unit.task(move |tasks| {
        tasks.register(&metrics);
        platform::housekeeping(db.clone(), app.clock.clone(), &tasks);
        app.desk.outbox.relay(db, bus.clone(), &metrics, &tasks);
        let handler = consumers::payment_events(&app);
        bus.consume((NAME, Urgency::Soon), &[PAYMENT_EVENTS], handler, &metrics, &tasks);
        tasks::resume_sagas(app.clone(), &tasks);
        tasks::forget_refusals(app, &tasks);
    }))
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let refuse = |key, detail| Err(BuildError::Config { key, detail });
        if !(10..=86_400).contains(&self.hold_ttl_seconds) {
            return refuse("hold_ttl_seconds", "10 to 86400");
        }
        if !(1..=120).contains(&self.call_timeout_seconds) {
            return refuse("call_timeout_seconds", "1 to 120");
        }
        if !(4 * self.call_timeout_seconds..=3_600).contains(&self.lease_seconds) {
            return refuse("lease_seconds", "four times call_timeout_seconds to 3600");
        }
        if self.wait_seconds > 30 {
            return refuse("wait_seconds", "at most 30");
        }
        if !(10..=60_000).contains(&self.resume_period_ms) {
            return refuse("resume_period_ms", "10 to 60000");
        }
        if !(1..=10_000).contains(&self.resume_batch) {
            return refuse("resume_batch", "1 to 10000");
        }
        if !(1..=1_000).contains(&self.resume_concurrency) {
            return refuse("resume_concurrency", "1 to 1000");
        }
        if !(1..=60_000).contains(&self.retry_first_ms) {
            return refuse("retry_first_ms", "1 to 60000");
        }
        if !(1..=3_600).contains(&self.retry_limit_seconds) {
            return refuse("retry_limit_seconds", "1 to 3600");
        }
        if !(1..=1_000).contains(&self.max_attempts) {
            return refuse("max_attempts", "1 to 1000");
        }
        if !(1..=10_000).contains(&self.max_batch) {
            return refuse("max_batch", "1 to 10000");
        }
        if !(1..=1_000_000).contains(&self.max_waiting) {
            return refuse("max_waiting", "1 to 1000000");
        }
        if !(1..=64).contains(&self.lanes) {
            return refuse("lanes", "1 to 64");
        }
        if self.refusal_memory_ms > 1_000 {
            return refuse("refusal_memory_ms", "at most 1000");
        }
        Ok(())
    }
}

impl App {
    fn new(config: Config, deps: Deps, metrics: &Metrics, tasks: &Tasks) -> Self {
        let Deps { db, clock, ids, bus: _, event, ticket, payment, seal, access } = deps;
        let desk = Arc::new(Desk {
            clock: clock.clone(),
            ids: ids.clone(),
            outbox: Outbox::new(BOOKING_EVENTS),
            lease: Duration::from_secs(config.lease_seconds),
        });
        let settings = CoalescerSettings {
            max_batch: config.max_batch,
            max_waiting: config.max_waiting,
            lanes: config.lanes,
        };
        let at = desk.clone();
        let writes = Coalescer::new(db.clone(), settings, move |tx, writes| {
            let desk = at.clone();
            Box::pin(async move { desk.decide(tx, writes).await })
        });
        let refusals = Refusals::new(Duration::from_millis(config.refusal_memory_ms));
        Self {
            config,
            db,
            clock,
            ids,
            desk,
            writes,
            tasks: tasks.clone(),
            event,
            ticket,
            payment,
            seal,
            access,
            metrics: metrics.clone(),
            counts: Counts::new(metrics),
            flights: Flights::default(),
            lag: Lag::default(),
            refusals,
        }
    }
}
