//! Group commit for requests that meet: what arrives while a batch commits becomes the next batch.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::{Body, Db, Engine, Error, POSTGRES_PACE, RUSH, Tx};

/// Limits of a [`Coalescer`].
#[derive(Debug, Clone, Copy)]
pub struct CoalescerSettings {
    /// The most requests decided in one transaction.
    pub max_batch: usize,
    /// The most requests that may wait; more are refused with [`Error::Overloaded`].
    pub max_waiting: usize,
    /// How many batches may be under way at once, each on a connection of its own. On PostgreSQL it
    /// is one in a rush, where half as many batches of twice the size cost less.
    pub lanes: usize,
}

/// Decides requests that meet in one transaction, first come first served; each caller gets its own
/// result, after COMMIT. A request that makes the whole transaction fail is decided alone, so that
/// it never fails its neighbours. A batch runs to its end even when its callers are dropped.
pub struct Coalescer<Req, Res, E>(Arc<Inner<Req, Res, E>>);

struct Inner<Req, Res, E> {
    db: Db,
    settings: CoalescerSettings,
    batch: BatchFn<Req, Res, E>,
    queue: Mutex<Queue<Req, Res, E>>,
}

type BatchFn<Req, Res, E> =
    Box<dyn for<'t> Fn(&'t mut Tx, &'t [Req]) -> Body<'t, Vec<Result<Res, E>>, E> + Send + Sync>;

type Caller<Res, E> = oneshot::Sender<Result<Res, E>>;

/// Requests and, at the same places, the callers who wait for their answers.
type Batch<Req, Res, E> = (Vec<Req>, Vec<Option<Caller<Res, E>>>);

struct Queue<Req, Res, E> {
    waiting: VecDeque<(Req, Caller<Res, E>)>,
    /// How many lanes have a task at work.
    busy_lanes: usize,
    /// The last batch was large, on PostgreSQL: one lane takes all, at a pace.
    in_rush: bool,
}

/// Why a batch was not committed.
enum Undecided<E> {
    /// The batch function said so.
    Refused(E),
    /// The database said so.
    Db(Error),
}

impl<E> From<Error> for Undecided<E> {
    fn from(error: Error) -> Self {
        Self::Db(error)
    }
}

impl<Req, Res, E> Coalescer<Req, Res, E>
where
    Req: Send + Sync + 'static,
    Res: Send + 'static,
    E: From<Error> + Send + 'static,
{
    /// A coalescer that decides batches by `batch`, which returns one result per request, in order.
    pub fn new<F>(db: Db, settings: CoalescerSettings, batch: F) -> Self
    where
        F: for<'t> Fn(&'t mut Tx, &'t [Req]) -> Body<'t, Vec<Result<Res, E>>, E>
            + Send
            + Sync
            + 'static,
    {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), busy_lanes: 0, in_rush: false });
        Self(Arc::new(Inner { db, settings, batch: Box::new(batch), queue }))
    }

    /// Has `request` decided, and returns its own result once that is durable.
    ///
    /// # Errors
    /// What the batch function decided for this request, or why it could not be committed.
    pub async fn call(&self, request: Req) -> Result<Res, E> {
        let answer = self.0.enqueue(request)?;
        answer.await.unwrap_or_else(|_| Err(Error::closed().into()))
    }
}

impl<Req, Res, E> Inner<Req, Res, E>
where
    Req: Send + Sync + 'static,
    Res: Send + 'static,
    E: From<Error> + Send + 'static,
{
    /// Puts `request` in the queue, and a lane to work if one is idle.
    fn enqueue(self: &Arc<Self>, request: Req) -> Result<oneshot::Receiver<Result<Res, E>>, Error> {
        if self.db.is_closed() {
            return Err(Error::closed());
        }
        let (caller, answer) = oneshot::channel();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.waiting.len() >= self.settings.max_waiting {
            return Err(Error::overloaded());
        }
        queue.waiting.push_back((request, caller));
        let lanes = if queue.in_rush { 1 } else { self.settings.lanes.max(1) };
        if queue.busy_lanes < lanes {
            queue.busy_lanes += 1;
            let lane = Arc::clone(self);
            self.db.0.tasks.spawn(async move { lane.work().await });
        }
        Ok(answer)
    }

    /// One lane: takes what waits, decides it, and rests when nothing waits. SQLite's writer has a
    /// pace of its own.
    async fn work(self: Arc<Self>) {
        while let Some((requests, callers)) = self.take() {
            let paced = self.is_rush(requests.len());
            let next_at = Instant::now() + POSTGRES_PACE;
            self.decide(Arc::new(requests), callers).await;
            if paced {
                sleep_until(next_at).await;
            }
        }
    }

    fn is_rush(&self, size: usize) -> bool {
        self.db.engine() == Engine::Postgres && size >= RUSH
    }

    fn take(&self) -> Option<Batch<Req, Res, E>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let size = queue.waiting.len().min(self.settings.max_batch.max(1));
        let is_left_to_another = queue.in_rush && queue.busy_lanes > 1;
        if size == 0 || is_left_to_another {
            queue.busy_lanes -= 1;
            return None;
        }
        queue.in_rush = self.is_rush(size);
        Some(queue.waiting.drain(..size).map(|(request, caller)| (request, Some(caller))).unzip())
    }

    /// Decides all in one transaction; a part that fails as a whole in halves, until the culprit is
    /// alone.
    async fn decide(
        self: &Arc<Self>,
        requests: Arc<Vec<Req>>,
        mut callers: Vec<Option<Caller<Res, E>>>,
    ) {
        let mut parts = Vec::new();
        parts.push(0..requests.len());
        while let Some(part) = parts.pop() {
            let mut answer = |index: usize, result| {
                if let Some(caller) = callers.get_mut(index).and_then(Option::take) {
                    let _gone = caller.send(result);
                }
            };
            match self.try_decide(&requests, part.clone()).await {
                Ok(results) => {
                    part.zip(results).for_each(|(index, result)| answer(index, result));
                }
                // It may even be committed: deciding again could decide twice.
                Err(Undecided::Db(error @ (Error::Unavailable(_) | Error::Overloaded(_)))) => {
                    part.for_each(|index| answer(index, Err(error.clone().into())));
                }
                Err(_) if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Err(Undecided::Refused(error)) => answer(part.start, Err(error)),
                Err(Undecided::Db(error)) => answer(part.start, Err(error.into())),
            }
        }
    }

    async fn try_decide(
        self: &Arc<Self>,
        requests: &Arc<Vec<Req>>,
        part: Range<usize>,
    ) -> Result<Vec<Result<Res, E>>, Undecided<E>> {
        let (coalescer, requests) = (Arc::clone(self), Arc::clone(requests));
        let write = self.db.write_here(part.len(), move |tx| {
            let (coalescer, requests) = (Arc::clone(&coalescer), Arc::clone(&requests));
            let part = part.clone();
            Box::pin(async move { coalescer.run(tx, requests.get(part).unwrap_or_default()).await })
        });
        write.await
    }

    async fn run(
        &self,
        tx: &mut Tx,
        requests: &[Req],
    ) -> Result<Vec<Result<Res, E>>, Undecided<E>> {
        match (self.batch)(&mut *tx, requests).await {
            Ok(results) if results.len() == requests.len() => Ok(results),
            Ok(results) => {
                let (given, wanted) = (results.len(), requests.len());
                let text = format!("the batch gave {given} results for {wanted} requests");
                Err(Undecided::Db(Error::Statement(text)))
            }
            Err(error) => match tx.failure() {
                Some(failure @ Error::Unavailable(_)) => Err(Undecided::Db(failure.clone())),
                _ => Err(Undecided::Refused(error)),
            },
        }
    }
}
