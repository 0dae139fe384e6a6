#![doc = include_str!("../README.md")]

mod app;
mod caller;
mod limits;
mod overload;
mod page;
mod routes;
mod shapes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{Router, extract::Request, routing::Route};
use futures_util::FutureExt;
use platform::{Metrics, Tasks, Unit, http::wrap, kv::Kv, tokens::Verifier};
use tower::Service;
use wire::Wire;

use crate::{app::App, overload::Overload, routes::Routes};

/// The service's name.
pub const NAME: &str = "gateway";

/// Every key of the configuration with its default.
pub const CONFIG: &str = include_str!("../config.toml");

/// The section `[gateway]`; see `config.toml`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests at once of a visitor.
    pub visitor_burst: u32,
    /// Requests a minute of a visitor.
    pub visitor_per_minute: u32,
    /// Requests at once of an account.
    pub account_burst: u32,
    /// Requests a minute of an account.
    pub account_per_minute: u32,
    /// Tries to sign in at once.
    pub sign_in_burst: u32,
    /// Tries to sign in a minute.
    pub sign_in_per_minute: u32,
    /// Whether requests are refused when more is asked for than can be done.
    pub overload_protection: bool,
    /// How long answers should take that only look, and places in queues, in milliseconds.
    pub overload_read_target_ms: u32,
    /// How long answers should take that change something, in milliseconds.
    pub overload_write_target_ms: u32,
    /// So many requests of a class may be under way, however slow answers are.
    pub overload_least: u32,
    /// The most requests of a class that may be under way, however quick answers are.
    pub overload_most: u32,
    /// The longest that who is refused is asked to wait, in seconds.
    pub overload_longest_retry_seconds: u32,
    /// Where browsers find realtime-service.
    pub realtime_url: String,
    /// Where browsers pay.
    pub payment_api_base: String,
    /// With which key browsers pay.
    pub payment_publishable_key: String,
}

/// What the service needs: a way to each of the others.
pub struct Deps {
    /// auth-service.
    pub auth: Wire,
    /// user-service.
    pub user: Wire,
    /// event-service.
    pub event: Wire,
    /// ticket-service.
    pub ticket: Wire,
    /// booking-service.
    pub booking: Wire,
    /// payment-service.
    pub payment: Wire,
    /// realtime-service.
    pub realtime: Wire,
    /// booking-worker.
    pub booking_worker: Wire,
    /// email-worker.
    pub email_worker: Wire,
    /// Rate limits.
    pub kv: Kv,
    /// Verifies access tokens.
    pub access: Verifier,
    /// The pages.
    pub pages: Router,
}

/// Why the service can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A configuration value is out of range.
    #[error("gateway.{key}: must be 1 to 1000000")]
    Config {
        /// The key.
        key: &'static str,
    },
}

/// Builds the service; nothing of it runs yet.
///
/// # Errors
/// If a configuration value is out of range.
pub fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    config.check()?;
    let metrics = Metrics::new();
    let pages = deps.pages.clone();
    let overload = Arc::new(Overload::new(&config, &metrics));
    let app = Arc::new(App::new(config, deps, &metrics));
    let Routes { limited, unlimited, document } = Routes::new();
    let unlimited = unlimited.with_state(app.clone());
    let unlimited = unlimited.merge(routes::documentation(document)).merge(pages);
    let (gates, limiter) = (overload.clone(), app.clone());
    let limited = limited.layer(wrap(move |request: Request, route: &mut Route| {
        let entered = overload::enter(&gates, &request);
        overload::answer(entered, limits::limit(limiter.clone(), request, route.clone()))
    }));
    let unlimited = unlimited.layer(wrap(move |request: Request, route: &mut Route| {
        let entered = overload::enter(&overload, &request);
        overload::answer(entered, route.call(request).map(|Ok(answer)| answer))
    }));
    let api = limited.with_state(app).merge(unlimited);
    Ok(Unit::new(NAME, metrics, Tasks::new()).http(api))
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let values = [
            ("visitor_burst", self.visitor_burst),
            ("visitor_per_minute", self.visitor_per_minute),
            ("account_burst", self.account_burst),
            ("account_per_minute", self.account_per_minute),
            ("sign_in_burst", self.sign_in_burst),
            ("sign_in_per_minute", self.sign_in_per_minute),
            ("overload_read_target_ms", self.overload_read_target_ms),
            ("overload_write_target_ms", self.overload_write_target_ms),
            ("overload_least", self.overload_least),
            ("overload_most", self.overload_most),
            ("overload_longest_retry_seconds", self.overload_longest_retry_seconds),
        ];
        match values.into_iter().find(|(_, value)| !(1..=1_000_000).contains(value)) {
            None => Ok(()),
            Some((key, _)) => Err(BuildError::Config { key }),
        }
    }
}
