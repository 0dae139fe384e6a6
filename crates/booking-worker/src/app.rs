//! The handles that every verb gets.

use std::{sync::Arc, time::Duration};

use kernel::{AccountId, Clock, EventId, Timestamp};
use platform::{
    Tasks,
    kv::{Kv, Queue},
    tokens::Seal,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use wire::{Context, Wire};

use crate::{Config, NAME, metrics::Counts, serving::Lines};

/// How long telling somebody something may take.
const TELL_LIMIT: Duration = Duration::from_secs(1);

pub(crate) struct App {
    pub(crate) kv: Kv,
    pub(crate) queue: Queue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) booking: Wire,
    pub(crate) realtime: Wire,
    pub(crate) seal: Seal,
    /// The lines that this process looks after.
    pub(crate) lines: Lines,
    /// Has the lines looked at at once.
    pub(crate) due: Arc<Notify>,
    /// How many bookings may be under way.
    pub(crate) bookings: Semaphore,
    pub(crate) counts: Counts,
    pub(crate) config: Config,
}

impl App {
    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_secs(self.config.lease_seconds)
    }

    /// The admission of an account to an event, as booking-service opens it. The same whenever it
    /// is made.
    pub(crate) fn admission(
        &self,
        event: EventId,
        account: AccountId,
        expires_at: Timestamp,
    ) -> String {
        self.seal.seal("admission", &format!("{event}/{account}"), expires_at)
    }

    /// The way to realtime-service for messages that may get lost.
    pub(crate) fn telling(&self) -> Wire {
        self.realtime.with(&Context::service(NAME).within(Instant::now() + TELL_LIMIT))
    }
}
