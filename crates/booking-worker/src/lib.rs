#![doc = include_str!("../README.md")]

mod app;
mod consumers;
mod domain;
mod error;
mod grpc;
mod metrics;
mod ops;
mod serving;
mod store;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kernel::{Clock, Ids};
use platform::{
    Metrics, Probe, Tasks, Unit,
    bus::{Bus, CATALOG_EVENTS, Urgency},
    kv::Kv,
    tokens::Seal,
};
use tokio::sync::{Notify, Semaphore};
use wire::{Wire, pb::booking_worker::v1::serve};

use crate::{app::App, metrics::Counts, serving::Lines};

/// The service's name.
pub const NAME: &str = "booking-worker";

/// Every key of the configuration with its default.
pub const CONFIG: &str = include_str!("../config.toml");

/// The section `[booking-worker]`; see `config.toml`.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often each line is looked at, in milliseconds.
    pub serve_every_ms: u64,
    /// How often the head of a line is told at most, in milliseconds.
    pub broadcast_every_ms: u64,
    /// The most places that wait in one line.
    pub max_waiting: u64,
    /// After how long the lines and places of a dead worker are taken over.
    pub lease_seconds: u64,
    /// How long booking for a place may take.
    pub booking_timeout_seconds: u64,
    /// How many bookings are under way at once.
    pub bookings_at_once: usize,
    /// How often booking for a place is tried.
    pub max_attempts: u32,
    /// How long what became of a place can be asked for.
    pub keep_seconds: u64,
}

/// What the service needs. It has no database of its own.
pub struct Deps {
    /// The waiting queue, and the lines' locks.
    pub kv: Kv,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids, as every service gets them; this one makes none.
    pub ids: Arc<dyn Ids>,
    /// The event log.
    pub bus: Bus,
    /// The way to booking-service.
    pub booking: Wire,
    /// The way to realtime-service.
    pub realtime: Wire,
    /// Seals admissions.
    pub seal: Seal,
}

/// Why the service can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A configuration value can't be used.
    #[error("booking-worker.{key}: {detail}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// Builds the service; nothing of it runs yet.
///
/// # Errors
/// If a configuration value can't be used.
pub fn build(config: Config, deps: Deps) -> Result<Unit, BuildError> {
    config.check()?;
    let (metrics, bus) = (Metrics::new(), deps.bus.clone());
    let app = assemble(config, deps, &metrics);
    let (tracked, own, consumer) = (app.tasks.clone(), metrics.clone(), app.clone());
    let queue = app.queue.clone();
    let probe: Probe = Arc::new(move || {
        let queue = queue.clone();
        Box::pin(async move { queue.lines(1).await.map(drop).map_err(|down| down.to_string()) })
    });
    let server = serve(grpc::Api { app: app.clone() });
    Ok(Unit::new(NAME, metrics, tracked)
        .grpc(server)
        .probe("queue", probe)
        .task(move |tasks| {
            let handler = consumers::handler(consumer);
            bus.consume((NAME, Urgency::Relaxed), &[CATALOG_EVENTS], handler, &own, &tasks);
        })
        .task(move |tasks| tasks::start(&app, &tasks)))
}

fn assemble(config: Config, deps: Deps, metrics: &Metrics) -> Arc<App> {
    Arc::new(App {
        queue: deps.kv.queue(),
        kv: deps.kv,
        clock: deps.clock,
        tasks: Tasks::new(),
        booking: deps.booking,
        realtime: deps.realtime,
        seal: deps.seal,
        lines: Lines::default(),
        due: Arc::new(Notify::new()),
        bookings: Semaphore::new(config.bookings_at_once),
        counts: Counts::new(metrics),
        config,
    })
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let bookings_at_once = u64::try_from(self.bookings_at_once).unwrap_or(u64::MAX);
        // A lease that ends while the call is under way would have each place booked for twice.
        let longest_booking = self.lease_seconds.saturating_sub(1);
        let ranges = [
            ("serve_every_ms", self.serve_every_ms, 10..=10_000),
            ("broadcast_every_ms", self.broadcast_every_ms, 10..=60_000),
            ("max_waiting", self.max_waiting, 1..=10_000_000),
            ("lease_seconds", self.lease_seconds, 2..=600),
            ("booking_timeout_seconds", self.booking_timeout_seconds, 1..=longest_booking),
            ("bookings_at_once", bookings_at_once, 1..=10_000),
            ("max_attempts", self.max_attempts.into(), 1..=1_000),
            ("keep_seconds", self.keep_seconds, 1..=7 * 24 * 3_600),
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
