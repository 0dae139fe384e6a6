//! What this process remembers of the lines that it looks after; nothing that must survive it.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
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
    /// The line's lock, and when it was last taken or renewed. Two who serve at once would break
    /// the rate, and nothing else: the waiting queue hands out each place once. That is why no one
    /// checks the fence.
    lock: Option<(Lock, Timestamp)>,
    /// How many of the line's places are counted as waiting.
    counted: i64,
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
        if let Some((lock, since)) = &mut self.lock {
            if now < since.plus(ttl / 3) {
                return Ok(true);
            }
            if app.kv.renew(lock, ttl).await? {
                *since = now;
                return Ok(true);
            }
        }
        let taken = app.kv.lock(&format!("booking-worker:{event}"), ttl).await?;
        self.lock = taken.map(|lock| (lock, now));
        self.pace = self.lock.is_some().then(|| Pace::new(now));
        Ok(self.lock.is_some())
    }

    /// Whether the lock is still ours at `now`: a process may be stopped between two lines of code
    /// for longer than it lasts.
    pub(crate) fn is_held(&self, ttl: Duration, now: Timestamp) -> bool {
        self.lock.as_ref().is_some_and(|(_, since)| now < since.plus(ttl))
    }

    /// Does `work`, and keeps the lock for as long as that takes.
    pub(crate) async fn while_held<T>(&mut self, app: &App, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.keep(app) => match never {},
        }
    }

    /// Renews the lock again and again. One that is lost stays lost: what was claimed with it is
    /// finished, and no more is claimed.
    async fn keep(&mut self, app: &App) -> Infallible {
        let ttl = app.lease();
        while let Some((lock, since)) = &mut self.lock {
            tokio::time::sleep(ttl / 3).await;
            let now = app.clock.now();
            match app.kv.renew(lock, ttl).await {
                Ok(true) => *since = now,
                Ok(false) => self.lock = None,
                Err(failure) => tracing::debug!(%failure, "line's lock not renewed"),
            }
        }
        std::future::pending().await
    }

    /// Counts how many wait in the line, among those that this process serves.
    pub(crate) fn count(&mut self, app: &App, waiting: u64) {
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        app.counts.waiting.inc_by(waiting - self.counted);
        self.counted = waiting;
    }

    /// Leaves the line to others.
    pub(crate) async fn give_up(&mut self, app: &App) -> Result<(), Failure> {
        match self.lock.take() {
            Some((lock, _)) => app.kv.unlock(&lock).await,
            None => Ok(()),
        }
    }
}
