#![doc = include_str!("../README.md")]

mod app;
mod connection;
mod consumers;
mod domain;
mod door;
mod error;
mod frame;
mod grpc;
mod hub;
mod meters;
mod ops;
mod relay;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use kernel::{Clock, Ids};
use platform::{
    Metrics, Probe, Tasks, Unit,
    bus::{Bus, Urgency},
    kv::Kv,
    tokens::Verifier,
};
use tokio::sync::Semaphore;
use wire::pb::realtime::v1::serve;

use crate::{
    app::App,
    hub::{Hub, Limits},
    meters::Meters,
};

/// The service's name.
pub const NAME: &str = "realtime";

/// Every key of the configuration with its default.
pub const CONFIG: &str = include_str!("../config.toml");

/// The section `[realtime]`; see `config.toml`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether visitors without a token may connect.
    pub allow_anonymous: bool,
    /// Origins whose pages may connect; empty: any.
    pub allowed_origins: Vec<String>,
    /// The most connections of this process.
    pub max_connections: usize,
    /// The most rooms of one connection.
    pub max_rooms_per_connection: usize,
    /// The most rooms of this process.
    pub max_rooms: usize,
    /// How many frames may wait for a client.
    pub queue_frames: usize,
    /// How many messages a client may send in the long run.
    pub messages_per_second: u32,
    /// How often a client is pinged.
    pub ping_seconds: u64,
    /// After how long without a sign of life a connection is given up.
    pub pong_wait_seconds: u64,
    /// How long a write may take.
    pub write_seconds: u64,
    /// How many frames a room remembers.
    pub history_frames: usize,
    /// How many bytes a room remembers.
    pub history_bytes: usize,
    /// How long a room remembers, and is remembered.
    pub history_seconds: u64,
    /// Within which time changes of places are told as one.
    pub seat_window_milliseconds: u64,
}

/// What the service needs.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn Ids>,
    /// The event log.
    pub bus: Bus,
    /// The channel between replicas.
    pub kv: Kv,
    /// Verifies access tokens.
    pub access: Verifier,
}

/// Why the service can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A configuration value can't be used.
    #[error("realtime.{key}: {detail}")]
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
    let metrics = Metrics::new();
    let bus = deps.bus.clone();
    let app = app(config, deps, &metrics)?;
    Ok(unit(app, bus, metrics))
}

fn unit(app: Arc<App>, bus: Bus, metrics: Metrics) -> Unit {
    let (tracked, counts) = (app.tasks.clone(), metrics.clone());
    let (listening, consumer, probed) = (app.clone(), app.clone(), app.clone());
    let probe: Probe = Arc::new(move || {
        let listening = probed.listening.load(Ordering::Relaxed);
        let answer = listening.then_some(()).ok_or_else(|| "not listening to replicas".to_owned());
        Box::pin(async move { answer })
    });
    Unit::new(NAME, metrics, tracked)
        .grpc(serve(grpc::Api { app: app.clone() }))
        .http(door::routes(app))
        .task(move |tasks| relay::start(&listening, &tasks))
        .task(move |tasks| {
            let handler = consumers::handler(consumer);
            bus.consume((NAME, Urgency::Relaxed), &consumers::TOPICS, handler, &counts, &tasks);
        })
        .probe("channel", probe)
}

fn app(config: Config, deps: Deps, metrics: &Metrics) -> Result<Arc<App>, BuildError> {
    config.check()?;
    let meters = Meters::new(metrics);
    let limits = Limits {
        rooms: config.max_rooms,
        frames: config.history_frames,
        bytes: config.history_bytes,
        age: Duration::from_secs(config.history_seconds),
    };
    Ok(Arc::new(App {
        hub: Hub::new(limits, &*deps.ids, meters.rooms.clone()),
        outgoing: relay::Outgoing::new(),
        is_alone: !deps.kv.is_shared(),
        slots: Arc::new(Semaphore::new(config.max_connections)),
        connections: AtomicU64::new(0),
        listening: AtomicBool::new(false),
        tasks: Tasks::new(),
        clock: deps.clock,
        ids: deps.ids,
        kv: deps.kv,
        access: deps.access,
        meters,
        config,
    }))
}

impl Config {
    /// What can be told to be wrong before anything is built.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), BuildError> {
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let ranges = [
            ("max_connections", size(self.max_connections), 1..=1_000_000),
            ("max_rooms_per_connection", size(self.max_rooms_per_connection), 1..=1_000),
            ("max_rooms", size(self.max_rooms), 1..=10_000_000),
            ("queue_frames", size(self.queue_frames), 1..=65_536),
            ("messages_per_second", u64::from(self.messages_per_second), 1..=10_000),
            ("ping_seconds", self.ping_seconds, 1..=3_600),
            ("pong_wait_seconds", self.pong_wait_seconds, self.ping_seconds + 1..=7_200),
            ("write_seconds", self.write_seconds, 1..=600),
            ("history_frames", size(self.history_frames), 0..=65_536),
            ("history_bytes", size(self.history_bytes), 0..=1 << 30),
            ("history_seconds", self.history_seconds, 1..=86_400),
            ("seat_window_milliseconds", self.seat_window_milliseconds, 1..=60_000),
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
