#![doc = include_str!("../README.md")]

mod app;
mod domain;
mod events;
mod grpc;
mod http;
mod ledger;
mod metrics;
mod ops;
mod store;
mod stripe;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use db::{Coalescer, CoalescerSettings, Db, Migration, Migrations};
use kernel::{Clock, Ids, Secret};
use platform::{
    Metrics, Tasks, Unit,
    bus::{Bus, PAYMENT_EVENTS},
    http::Nearby,
    outbox::Outbox,
    tokens::Verifier,
};
use serde::{Deserialize, Deserializer};
use tokio::sync::Notify;
use wire::pb::payment::v1::serve;

use crate::{
    app::{App, Patience},
    grpc::Grpc,
    ledger::Desk,
    stripe::Stripe,
};

/// The service's name.
pub const NAME: &str = "payment";

/// The defaults of [`Config`], with what each key means.
pub const CONFIG: &str = include_str!("../config.toml");

/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations {
    owner: NAME,
    postgres: &[
        Migration {
            name: "0001_payments",
            sql: include_str!("../migrations/postgres/0001_payments.sql"),
        },
        Migration {
            name: "0002_log_age",
            sql: include_str!("../migrations/postgres/0002_log_age.sql"),
        },
        Migration {
            name: "0003_history",
            sql: include_str!("../migrations/postgres/0003_history.sql"),
        },
        Migration {
            name: "0004_json_as_written",
            sql: include_str!("../migrations/postgres/0004_json_as_written.sql"),
        },
    ],
    sqlite: &[
        Migration {
            name: "0001_payments",
            sql: include_str!("../migrations/sqlite/0001_payments.sql"),
        },
        Migration {
            name: "0002_log_age",
            sql: include_str!("../migrations/sqlite/0002_log_age.sql"),
        },
        Migration {
            name: "0003_history",
            sql: include_str!("../migrations/sqlite/0003_history.sql"),
        },
    ],
};

/// How often to look for logs that are too old.
const PRUNE_PERIOD: Duration = Duration::from_secs(3_600);

/// The provider can be made to send an event again for 30 days: one that is forgotten sooner would
/// count twice.
const FEWEST_LOG_DAYS: u32 = 31;

/// The section `[payment]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where Stripe is.
    pub stripe_api_base: String,
    /// Stripe's secret key.
    #[serde(deserialize_with = "secret")]
    pub stripe_secret_key: Secret<String>,
    /// What Stripe signs its webhooks with.
    #[serde(deserialize_with = "secret")]
    pub stripe_webhook_secret: Secret<String>,
    /// How long one call to the provider may take, in milliseconds.
    pub provider_timeout_ms: u64,
    /// How long a call to the provider may be unfinished before somebody else takes it up.
    pub lease_seconds: u64,
    /// After how long the provider is asked about a payment of which nothing was heard.
    pub reconcile_after_seconds: u64,
    /// The longest wait between two such questions.
    pub reconcile_at_most_seconds: u64,
    /// How often to look for due work, in milliseconds.
    pub due_period_ms: u64,
    /// How many pieces of due work are taken at once.
    pub due_batch: u32,
    /// How long the logs of what was said with the provider are kept, in days.
    pub keep_log_days: u32,
    /// How many requests about payments are decided in one transaction, at most.
    pub max_batch: usize,
    /// How many of them may wait; more are refused.
    pub max_waiting: usize,
    /// How many such transactions may be under way at once.
    pub lanes: usize,
}

/// What the service works with.
pub struct Deps {
    /// Its own database, migrated with [`MIGRATIONS`] and `platform::MIGRATIONS`.
    pub db: Db,
    /// Where its events go.
    pub bus: Bus,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn Ids>,
    /// Verifies access tokens at its own REST face.
    pub access: Verifier,
    /// Faces of this process, where the provider may be one of them.
    pub nearby: Nearby,
}

/// The service can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A key has no value or one that makes no sense.
    #[error("payment.{key}: {detail}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        detail: &'static str,
    },
    /// The HTTP client can't be made.
    #[error("provider client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Builds the service; starts nothing.
///
/// # Errors
/// If the configuration makes no sense or the HTTP client can't be made.
pub fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    let (metrics, tasks) = (Metrics::new(), Tasks::new());
    let Deps { db, bus, clock, ids, access, nearby } = deps;
    let period = Duration::from_millis(config.due_period_ms);
    let outbox = Outbox::new(PAYMENT_EVENTS);
    let outside = (clock.clone(), ids, access, nearby);
    let app = Arc::new(app(config, db.clone(), outside, (&metrics, &tasks, &outbox))?);
    let (relayed, kept) = (metrics.clone(), db.clone());
    let (payments, refunds, logs) = (app.clone(), app.clone(), app.clone());
    Ok(Unit::new(NAME, metrics, tasks)
        .grpc(serve(Grpc(app.clone())))
        .http(http::routes(app))
        .database(kept.clone())
        .task(move |tasks| outbox.relay(db, bus, &relayed, &tasks))
        .task(move |tasks| platform::housekeeping(kept, clock, &tasks))
        .task(move |tasks| {
            let due = move || ops::reconcile_payments(payments.clone());
            tasks.every("reconcile payments", period, Arc::new(Notify::new()), due);
        })
        .task(move |tasks| {
            let due = move || ops::reconcile_refunds(refunds.clone());
            tasks.every("reconcile refunds", period, Arc::new(Notify::new()), due);
        })
        .task(move |tasks| {
            let due = move || ops::prune_logs(logs.clone());
            tasks.every("prune logs", PRUNE_PERIOD, Arc::new(Notify::new()), due);
        }))
}

fn app(
    config: Config,
    db: Db,
    (clock, ids, access, nearby): (Arc<dyn Clock>, Arc<dyn Ids>, Verifier, Nearby),
    (metrics, tasks, outbox): (&Metrics, &Tasks, &Outbox),
) -> Result<App, BuildError> {
    config.check()?;
    let patience = Patience {
        lease: Duration::from_secs(config.lease_seconds),
        first: Duration::from_secs(config.reconcile_after_seconds),
        longest: Duration::from_secs(config.reconcile_at_most_seconds),
        batch: i64::from(config.due_batch),
    };
    let desk = Desk { ids, outbox: outbox.clone(), patience };
    let settings = CoalescerSettings {
        max_batch: config.max_batch,
        max_waiting: config.max_waiting,
        lanes: config.lanes,
    };
    let at = desk.clone();
    let writes = Coalescer::new(db.clone(), settings, move |tx, requests| {
        let desk = at.clone();
        Box::pin(async move { ops::decide(tx, &desk, requests).await })
    });
    let provider = stripe::Settings {
        url: config.stripe_api_base.trim_end_matches('/').to_owned(),
        secret_key: config.stripe_secret_key,
        timeout: Duration::from_millis(config.provider_timeout_ms),
    };
    Ok(App {
        db,
        desk,
        writes,
        clock,
        tasks: tasks.clone(),
        access,
        stripe: Stripe::new(provider, nearby)?,
        webhook_secret: config.stripe_webhook_secret,
        metrics: metrics::Metrics::new(metrics),
        keep_log: Duration::from_secs(u64::from(config.keep_log_days) * 24 * 3_600),
    })
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        // A secret that is missing would let anybody sign webhooks, a time of nothing would ask the
        // provider without end.
        let wrong = |key, detail| Err(BuildError::Config { key, detail });
        let url = &self.stripe_api_base;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return wrong("stripe_api_base", "must begin http:// or https://");
        }
        if self.stripe_secret_key.expose().is_empty() {
            return wrong("stripe_secret_key", "is required");
        }
        if self.stripe_webhook_secret.expose().is_empty() {
            return wrong("stripe_webhook_secret", "is required");
        }
        if self.keep_log_days < FEWEST_LOG_DAYS {
            return wrong("keep_log_days", "must be at least 31");
        }
        let positive = [
            ("provider_timeout_ms", self.provider_timeout_ms),
            ("lease_seconds", self.lease_seconds),
            ("reconcile_after_seconds", self.reconcile_after_seconds),
            ("reconcile_at_most_seconds", self.reconcile_at_most_seconds),
            ("due_period_ms", self.due_period_ms),
            ("due_batch", u64::from(self.due_batch)),
            ("max_batch", self.max_batch as u64),
            ("max_waiting", self.max_waiting as u64),
            ("lanes", self.lanes as u64),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => wrong(key, "must be at least 1"),
            None => Ok(()),
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}
