//! A server that speaks the part of Stripe's API that selling tickets needs, for the one-process
//! shape and for tests.
//!
//! It stands for a third party: its state is its own and durable, its webhooks are signed and sent
//! until they are answered, its test cards, errors and idempotency keys behave as Stripe's do. It
//! never imports a service, and the Stripe client in `payment` can't tell it from Stripe. What only
//! the sandbox has lies under `/sandbox`.

mod api;
mod cards;
mod charging;
mod error;
mod events;
mod intents;
mod objects;
mod pages;
mod params;
mod refunds;
mod session;
mod store;
mod webhooks;

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, get, post},
};
use db::{Db, Migration, Migrations};
use kernel::{Clock, Ids, Secret};
use platform::http::Nearby;
use serde::{Deserialize, Deserializer};
use tokio::sync::Notify;
use tower_http::cors::CorsLayer;

pub use webhooks::{Controls, Worker, signature};

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 64 * 1_024;

/// The sandbox's name.
pub const NAME: &str = "stripe-sandbox";

/// The defaults of [`Config`], with what each key means.
pub const CONFIG: &str = include_str!("../config.toml");

/// The sandbox's tables.
pub const MIGRATIONS: Migrations = Migrations {
    owner: NAME,
    postgres: &[
        Migration {
            name: "0001_sandbox",
            sql: include_str!("../migrations/postgres/0001_sandbox.sql"),
        },
        Migration {
            name: "0002_lists",
            sql: include_str!("../migrations/postgres/0002_lists.sql"),
        },
        Migration {
            name: "0003_events",
            sql: include_str!("../migrations/postgres/0003_events.sql"),
        },
    ],
    sqlite: &[
        Migration {
            name: "0001_sandbox",
            sql: include_str!("../migrations/sqlite/0001_sandbox.sql"),
        },
        Migration { name: "0002_lists", sql: include_str!("../migrations/sqlite/0002_lists.sql") },
        Migration {
            name: "0003_events",
            sql: include_str!("../migrations/sqlite/0003_events.sql"),
        },
    ],
};

/// The section `[stripe-sandbox]`: how the sandbox is reached and whom it tells.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The secret key that servers call with: `sk_test_…`.
    #[serde(deserialize_with = "secret")]
    pub secret_key: Secret<String>,
    /// The publishable key that browsers call with: `pk_test_…`.
    pub publishable_key: String,
    /// Where buyers' browsers reach the sandbox, for the 3-D Secure page; empty: as the confirming
    /// call reached it.
    pub public_url: String,
    /// Where events are sent; nowhere if empty.
    pub webhook_url: String,
    /// Which kinds of events are sent, by their names; `*` stands for all.
    pub webhook_events: Vec<String>,
    /// What signs them: `whsec_…`.
    #[serde(deserialize_with = "secret")]
    pub webhook_secret: Secret<String>,
}

/// What the sandbox works with.
pub struct Deps {
    /// Its own database, migrated with [`MIGRATIONS`].
    pub db: Db,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids and secrets.
    pub ids: Arc<dyn Ids>,
    /// Faces of this process, that webhooks may go to.
    pub nearby: Nearby,
}

/// A sandbox that has not started: a router to serve and a worker to run.
pub struct Sandbox {
    /// `/v1`, `/sandbox` and `/`.
    pub router: Router,
    /// Sends events and settles refunds, by [`Worker::run`]. One runs per database.
    pub worker: Worker,
}

/// The sandbox can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The HTTP client for webhooks can't be made.
    #[error("webhook client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Builds the sandbox; starts nothing.
///
/// # Errors
/// If the HTTP client for webhooks can't be made.
pub fn build(config: Config, deps: Deps) -> Result<Sandbox, BuildError> {
    let shared = Arc::new(webhooks::Shared {
        db: deps.db,
        clock: deps.clock,
        ids: deps.ids,
        public_url: config.public_url.trim_end_matches('/').to_owned(),
        webhook_url: Some(config.webhook_url).filter(|url| !url.is_empty()),
        webhook_events: config.webhook_events,
        webhook_secret: config.webhook_secret,
        controls: Mutex::new(Controls::default()),
        due: Notify::new(),
    });
    let api = Arc::new(api::Api {
        shared: shared.clone(),
        secret_key: config.secret_key,
        publishable_key: config.publishable_key,
        in_flight: Mutex::new(HashSet::new()),
    });
    let calls = Router::new()
        .route("/v1/{*path}", any(api::handle))
        .layer(CorsLayer::permissive())
        .with_state(api);
    let pages = Router::new()
        .route("/", get(pages::recent))
        .route("/sandbox/3ds/{id}", get(pages::challenge).post(pages::answer_challenge))
        .route("/sandbox/controls", get(pages::controls).post(pages::set_controls))
        .route("/sandbox/events/{id}/deliver", post(pages::deliver))
        .with_state(shared.clone());
    let router = calls.merge(pages).layer(DefaultBodyLimit::max(MAX_BODY));
    Ok(Sandbox { router, worker: Worker::new(shared, deps.nearby)? })
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
