#![doc = include_str!("../README.md")]

mod app;
mod domain;
mod error;
mod events;
mod grpc;
mod keys;
mod ops;
mod passwords;
mod store;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use db::{Db, Migration, Migrations};
use kernel::{Clock, Ids, Secret};
use platform::{
    Metrics, Tasks, Unit,
    bus::{ACCOUNT_EVENTS, Bus},
    outbox::Outbox,
};
use tokio::sync::Notify;
use wire::pb::auth::v1::serve;

use crate::{app::App, keys::Keys, passwords::Passwords};

/// The service's name.
pub const NAME: &str = "auth";

/// Every key of the configuration with its default.
pub const CONFIG: &str = include_str!("../config.toml");

/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations {
    owner: NAME,
    postgres: &[Migration {
        name: "0001_accounts",
        sql: include_str!("../migrations/postgres/0001_accounts.sql"),
    }],
    sqlite: &[Migration {
        name: "0001_accounts",
        sql: include_str!("../migrations/sqlite/0001_accounts.sql"),
    }],
};

/// The section `[auth]`; see `config.toml`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Life of an access token.
    pub access_ttl_seconds: u64,
    /// Life of a session that is not refreshed.
    pub refresh_ttl_seconds: u64,
    /// Life of a PIN.
    pub pin_ttl_seconds: u64,
    /// Wrong PINs until a new one is needed.
    pub pin_attempts: u32,
    /// Wrong passwords in a row until the account is locked.
    pub login_attempts: u32,
    /// How long it is locked.
    pub lock_seconds: u64,
    /// How long one key signs.
    pub signing_key_seconds: u64,
    /// Argon2id's memory.
    pub argon2_memory_kib: u32,
    /// Argon2id's passes.
    pub argon2_passes: u32,
    /// How many hashes may run at once.
    pub argon2_at_once: usize,
}

/// What the service needs.
pub struct Deps {
    /// Its database.
    pub db: Db,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids and secrets.
    pub ids: Arc<dyn Ids>,
    /// The event log.
    pub bus: Bus,
    /// The deployment's secret: seals private keys at rest.
    pub secret: Secret<Vec<u8>>,
}

/// Why the service can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A configuration value is out of range.
    #[error("auth.{key}: {detail}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The deployment's secret can't be used.
    #[error("{0}")]
    Secret(kernel::Failure),
}

/// Builds the service; nothing of it runs yet.
///
/// # Errors
/// If a configuration value is out of range.
pub fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    config.check()?;
    let metrics = Metrics::new();
    let tasks = Tasks::new();
    let keys = Keys::new(&config, &deps.secret).map_err(BuildError::Secret)?;
    let passwords = Passwords::new(&config)
        .map_err(|detail| BuildError::Config { key: "argon2_memory_kib", detail })?;
    let app = Arc::new(App {
        attempts: app::Attempts::new(&metrics),
        db: deps.db.clone(),
        clock: deps.clock.clone(),
        ids: deps.ids,
        outbox: Outbox::new(ACCOUNT_EVENTS),
        tasks: tasks.clone(),
        passwords,
        keys,
        pin_key: app::pin_key(&deps.secret),
        config,
    });
    let api = grpc::Api { app: app.clone() };
    let outbox = app.outbox.clone();
    let relay_metrics = metrics.clone();
    Ok(Unit::new(NAME, metrics, tasks)
        .grpc(serve(api))
        .database(deps.db.clone())
        .task(move |tasks| {
            platform::housekeeping(deps.db.clone(), deps.clock, &tasks);
            outbox.relay(deps.db, deps.bus, &relay_metrics, &tasks);
        })
        .task(move |tasks| start_due_work(&app, &tasks)))
}

/// Key rotation and the removal of sessions that are over.
fn start_due_work(app: &Arc<App>, tasks: &Tasks) {
    let every_minute = Duration::from_secs(60);
    let rotating = app.clone();
    tasks.every("rotate_signing_keys", every_minute, Arc::new(Notify::new()), move || {
        let app = rotating.clone();
        async move { app.keys.rotate(&app).await.map(|()| false).map_err(Into::into) }
    });
    let removing = app.clone();
    tasks.every("remove_sessions", every_minute, Arc::new(Notify::new()), move || {
        let app = removing.clone();
        async move { ops::remove_sessions(&app).await.map_err(Into::into) }
    });
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let ranges = [
            ("access_ttl_seconds", self.access_ttl_seconds, 60..=86_400),
            ("refresh_ttl_seconds", self.refresh_ttl_seconds, 300..=31_536_000),
            ("pin_ttl_seconds", self.pin_ttl_seconds, 60..=86_400),
            ("pin_attempts", u64::from(self.pin_attempts), 1..=100),
            ("login_attempts", u64::from(self.login_attempts), 1..=1_000),
            ("lock_seconds", self.lock_seconds, 1..=86_400),
            ("signing_key_seconds", self.signing_key_seconds, 3_600..=31_536_000),
            ("argon2_at_once", self.argon2_at_once as u64, 1..=64),
        ];
        match ranges.into_iter().find(|(_, value, range)| !range.contains(value)) {
            None => Ok(()),
            Some((key, value, range)) => {
                let detail = format!("{value} is not within {} to {}", range.start(), range.end());
                Err(BuildError::Config { key, detail })
            }
        }
    }
}
