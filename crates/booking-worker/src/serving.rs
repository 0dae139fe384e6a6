//! What this process remembers of the lines that it looks after; nothing that must survive it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kernel::{EventId, Failure, Timestamp};
use platform::kv::{Head, Lock};

use crate::{
    app::App,
    domain::{Gate, Pace},
};

/// The lines that this process looks after.
#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<EventId, Shared>>);

/// One at a time serves a line.
pub(crate) type Shared = Arc<tokio::sync::Mutex<Serving>>;

/// How far serving a line is.
#[derive(Default)]
pub(crate) struct Serving {
    /// The line's lock, and when it is to be renewed. Two who serve at once would break the rate,
    /// and nothing else: the waiting queue hands out each place once. That is why no one checks
    /// the fence.
    lock: Option<(Lock, Timestamp)>,
    pub(crate) pace: Option<Pace>,
    /// What all were told last, and when.
    pub(crate) told: Option<((Head, Gate), Timestamp)>,
    /// There is nothing more to look after.
    pub(crate) done: bool,
}

impl Lines {
    /// Looks after the line from now on.
    pub(crate) fn add(&self, event: EventId) {
        self.lines().entry(event).or_default();
    }

    pub(crate) fn remove(&self, event: EventId) {
        self.lines().remove(&event);
    }

    pub(crate) fn all(&self) -> Vec<(EventId, Shared)> {
        self.lines().iter().map(|(event, serving)| (*event, serving.clone())).collect()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<EventId, Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Serving {
    /// Takes or keeps the line's lock; `false` if another process has it. Whoever takes it begins
    /// with an empty [`Pace`].
    pub(crate) async fn hold(
        &mut self,
        app: &App,
        event: EventId,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let ttl = app.lease();
        let renew_at = now.plus(ttl / 3);
        if let Some((lock, due)) = &mut self.lock {
            if now < *due {
                return Ok(true);
            }
            if app.kv.renew(lock, ttl).await? {
                *due = renew_at;
                return Ok(true);
            }
        }
        let taken = app.kv.lock(&format!("booking-worker:{event}"), ttl).await?;
        self.lock = taken.map(|lock| (lock, renew_at));
        self.pace = self.lock.is_some().then(|| Pace::new(now));
        Ok(self.lock.is_some())
    }

    /// Leaves the line to others.
    pub(crate) async fn give_up(&mut self, app: &App) -> Result<(), Failure> {
        match self.lock.take() {
            Some((lock, _)) => app.kv.unlock(&lock).await,
            None => Ok(()),
        }
    }
}
