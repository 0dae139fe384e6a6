//! The waiting queue in this process: one task decides on an index in memory and stores what
//! was decided, many requests in one transaction; readers look at the index.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use db::Db;
use kernel::{Clock, Failure, Timestamp};
use tokio::sync::{mpsc, oneshot};

use super::lines::{Changes, Lines};
use crate::{Tasks, kv::store};

/// The most requests that are decided in one transaction.
const MAX_BATCH: usize = 1_024;
/// The most requests that wait; further callers wait outside.
const MAX_WAITING: usize = 4_096;

#[derive(Clone)]
pub(super) struct Memory {
    asks: mpsc::Sender<Ask>,
    lines: Arc<RwLock<Lines>>,
    clock: Arc<dyn Clock>,
}

/// A request: decides, and says how to answer once that is stored, or why it was not.
type Ask = Box<dyn FnOnce(&mut Deciding<'_>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Option<&Failure>) + Send>;

/// What a request decides on.
pub(super) struct Deciding<'a> {
    pub(super) lines: &'a mut Lines,
    pub(super) changes: &'a mut Changes,
    pub(super) now: Timestamp,
}

struct Decider {
    db: Db,
    clock: Arc<dyn Clock>,
    lines: Arc<RwLock<Lines>>,
    /// The index holds what could not be stored, and must be read anew.
    stale: bool,
}

impl Memory {
    pub(super) async fn open(db: Db, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let lines = Arc::new(RwLock::new(store::load(&db).await?));
        let (asks, waiting) = mpsc::channel(MAX_WAITING);
        let decider = Decider { db, clock: clock.clone(), lines: lines.clone(), stale: false };
        // Ends by itself when the last handle is gone; what it began is stored or it never was.
        Tasks::new().spawn("waiting-queue", decider.run(waiting));
        Ok(Self { asks, lines, clock })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn lines(&self) -> RwLockReadGuard<'_, Lines> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `decide` decide among others, and answers once that is durable.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Deciding<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let ask: Ask = Box::new(move |deciding| {
            let decided = decide(deciding);
            Box::new(move |failure| {
                // The caller may have left.
                let _ = reply.send(failure.map_or(decided, |failure| Err(failure.clone())));
            })
        });
        let closed = || Failure::unavailable("the waiting queue is closed");
        self.asks.send(ask).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Decider {
    async fn run(mut self, mut waiting: mpsc::Receiver<Ask>) {
        let mut asks = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut asks, MAX_BATCH).await > 0 {
            let mut replies = Vec::with_capacity(asks.len());
            let stored = self.decide(&mut asks, &mut replies).await;
            if let Err(failure) = &stored {
                tracing::warn!(%failure, "waiting queue not stored");
                asks.clear();
            }
            for reply in replies {
                reply(stored.as_ref().err());
            }
        }
    }

    async fn decide(
        &mut self,
        asks: &mut Vec<Ask>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), Failure> {
        if self.stale {
            let lines = store::load(&self.db).await?;
            *self.write() = lines;
            self.stale = false;
        }
        let mut changes = Changes::default();
        {
            let now = self.clock.now();
            let mut lines = self.write();
            lines.sweep(now, &mut changes);
            let mut deciding = Deciding { lines: &mut lines, changes: &mut changes, now };
            replies.extend(asks.drain(..).map(|ask| ask(&mut deciding)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let changes = Arc::new(changes);
        let saved = changes.clone();
        let stored: Result<(), Failure> = self
            .db
            .write(move |tx| {
                let changes = saved.clone();
                Box::pin(async move { Ok(store::save(tx, &changes).await?) })
            })
            .await;
        match stored {
            Ok(()) => self.write().committed(&changes),
            Err(_) => self.stale = true,
        }
        stored
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lines> {
        self.lines.write().unwrap_or_else(PoisonError::into_inner)
    }
}
