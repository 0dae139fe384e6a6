//! The handles that every verb and connection gets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use kernel::{Clock, Ids};
use platform::{Tasks, kv::Kv, tokens::Verifier};
use tokio::sync::Semaphore;

use crate::{Config, hub::Hub, meters::Meters, relay::Outgoing};

pub(crate) struct App {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub kv: Kv,
    pub access: Verifier,
    pub tasks: Tasks,
    pub hub: Hub,
    /// What events lead to, on its way to all replicas.
    pub outgoing: Outgoing,
    /// Whether no other process can have connections: then what concerns nobody here concerns
    /// nobody.
    pub is_alone: bool,
    /// Places for connections.
    pub slots: Arc<Semaphore>,
    /// Numbers connections.
    pub connections: AtomicU64,
    /// Whether messages of all replicas reach this one.
    pub listening: AtomicBool,
    pub meters: Meters,
    pub config: Config,
}

impl App {
    pub(crate) const fn ping_period(&self) -> Duration {
        Duration::from_secs(self.config.ping_seconds)
    }

    pub(crate) const fn pong_wait(&self) -> Duration {
        Duration::from_secs(self.config.pong_wait_seconds)
    }

    pub(crate) const fn write_limit(&self) -> Duration {
        Duration::from_secs(self.config.write_seconds)
    }
}
