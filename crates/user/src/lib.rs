#![doc = include_str!("../README.md")]

mod app;
mod consumers;
mod domain;
mod error;
mod grpc;
mod ops;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use db::{Db, Migration, Migrations};
use kernel::{Clock, Ids};
use platform::{
    Metrics, Tasks, Unit,
    bus::{ACCOUNT_EVENTS, Bus, Urgency},
};
use wire::pb::user::v1::serve;

use crate::app::App;

/// The service's name.
pub const NAME: &str = "user";

/// Every key of the configuration with its default.
pub const CONFIG: &str = include_str!("../config.toml");

/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations {
    owner: NAME,
    postgres: &[Migration {
        name: "0001_profiles",
        sql: include_str!("../migrations/postgres/0001_profiles.sql"),
    }],
    sqlite: &[Migration {
        name: "0001_profiles",
        sql: include_str!("../migrations/sqlite/0001_profiles.sql"),
    }],
};

/// The section `[user]`; see `config.toml`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

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
pub enum BuildError {}

/// Builds the service; nothing of it runs yet.
///
/// # Errors
/// None yet.
pub fn build(_config: Config, deps: Deps) -> Result<Unit, BuildError> {
    let metrics = Metrics::new();
    let tasks = Tasks::new();
    let app = Arc::new(App { db: deps.db, clock: deps.clock, tasks: tasks.clone() });
    let api = grpc::Api { app: app.clone() };
    let (bus, counts) = (deps.bus, metrics.clone());
    Ok(Unit::new(NAME, metrics, tasks).grpc(serve(api)).database(app.db.clone()).task(
        move |tasks| {
            let handler = consumers::account_events(app.clone());
            bus.consume((NAME, Urgency::Relaxed), &[ACCOUNT_EVENTS], handler, &counts, &tasks);
            platform::housekeeping(app.db.clone(), app.clock.clone(), &tasks);
        },
    ))
}
