//! The task of one consumer group: reads, hands events to the handler, stores how far it is.
//! All that waits (reading, storing, handlers) runs side by side in this one task.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
    time::Duration,
};

use db::Db;
use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::FuturesUnordered,
};
use kernel::{Code, Failure};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery, Handler, Settings,
    lanes::{Tried, Verdict},
    memory::Group,
    meters::Meters,
    store::{self, Progress},
    streams::{Outboxes, Page},
    window::{Changes, Window},
};

/// The most keys that are handled at once: most of them wait for a batch that they share, and the
/// more meet, the less each costs.
pub(super) const MAX_RUNNING: usize = 1_024;
/// The most events in memory, before new ones are taken in; the rest waits in the log.
const MAX_HELD: usize = 2_048;
/// The most events of a topic that are read at once.
const READ_BATCH: u32 = 256;
/// How long it may take until an event that is done is stored as done: one transaction for many.
const SAVE_DELAY: Duration = Duration::from_millis(200);
/// The log is read this often though nobody told of anything new.
const POLL: Duration = Duration::from_secs(5);
/// The pause after the database failed.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How long handlers may go on once the service stops; what they don't finish is done again.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

pub(super) struct Consumer {
    pub(super) db: Db,
    pub(super) outboxes: Outboxes,
    pub(super) settings: Settings,
    pub(super) group: Arc<Group>,
    pub(super) handler: Handler,
    pub(super) meters: Meters,
}

type Finished = (Arc<str>, Result<(), Failure>);

struct Loop {
    consumer: Consumer,
    window: Window,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    reading: Option<BoxFuture<'static, Result<Vec<Page>, Failure>>>,
    saving: Option<BoxFuture<'static, Result<(), Failure>>>,
    /// What is being stored, until it is.
    unsaved: Option<Arc<Changes>>,
    save_at: Option<Instant>,
    read_at: Instant,
}

impl Consumer {
    pub(super) async fn run(self, stopping: CancellationToken) {
        let begun = stopping.run_until_cancelled(self.begin()).await;
        let Some(Progress { offsets, parked }) = begun else { return };
        let mut window = Window::new(self.settings, &self.group.streams, &offsets);
        for tried in parked {
            window.admit_parked(tried);
        }
        let consuming = Loop {
            consumer: self,
            window,
            running: FuturesUnordered::new(),
            reading: None,
            saving: None,
            unsaved: None,
            save_at: None,
            read_at: Instant::now(),
        };
        consuming.run(stopping).await;
    }

    async fn begin(&self) -> Progress {
        loop {
            let streams = self.group.streams.clone();
            match store::begin(&self.db, self.group.name, streams).await {
                Ok(progress) => return progress,
                Err(failure) => self.warn("group not begun", &failure),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn warn(&self, what: &str, failure: &Failure) {
        tracing::warn!(group = self.group.name, %failure, "{what}");
    }
}

impl Loop {
    async fn run(mut self, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            let now = Instant::now();
            self.window.wake(now);
            self.take_fresh(now);
            self.start_handlers();
            self.start_reading(now);
            self.start_saving(now);
            let timer = self.next_time();
            tokio::select! {
                Some(finished) = self.running.next() => self.finish_all(finished),
                pages = ready(&mut self.reading) => self.take_pages(pages),
                saved = ready(&mut self.saving) => self.saved(saved),
                () = self.consumer.group.wake.notified() => self.woken(),
                () = sleep_until(timer) => {}
                () = stopping.cancelled() => {}
            }
        }
        self.stop().await;
    }

    /// Takes in new events, unless some before them are being read just now; has those read that
    /// are missing.
    fn take_fresh(&mut self, now: Instant) {
        if self.reading.is_some() {
            return;
        }
        let mut has_new = false;
        while self.window.held() < MAX_HELD {
            let mut fresh =
                self.consumer.group.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(news) = fresh.pop_front() else { break };
            drop(fresh);
            self.window.admit_fresh(&news);
            has_new = true;
        }
        if has_new {
            self.consumer.meters.lag.set(self.window.lag());
            if self.window.has_unread() {
                self.read_at = now;
            }
        }
    }

    fn start_handlers(&mut self) {
        while self.running.len() < MAX_RUNNING {
            let Some((key, delivery)) = self.window.next() else { return };
            let handler = self.consumer.handler.clone();
            let limit = self.consumer.settings.handler_limit;
            self.running.push(Box::pin(async move {
                let result = match delivery {
                    Ok(delivery) => handle(handler, delivery, limit).await,
                    Err(failure) => Err(failure),
                };
                (key, result)
            }));
        }
    }

    fn start_reading(&mut self, now: Instant) {
        if self.reading.is_some() || now < self.read_at || self.window.held() >= MAX_HELD {
            return;
        }
        self.read_at = now + POLL;
        let (db, outboxes) = (self.consumer.db.clone(), self.consumer.outboxes.clone());
        let after = self.window.read_so_far();
        self.reading =
            Some(Box::pin(async move { store::read(&db, &outboxes, after, READ_BATCH).await }));
    }

    fn start_saving(&mut self, now: Instant) {
        if self.saving.is_some() {
            return;
        }
        if self.save_at.is_none() && self.window.has_changes() {
            self.save_at = Some(now + SAVE_DELAY);
        }
        if self.save_at.is_none_or(|at| now < at) {
            return;
        }
        self.save_at = None;
        let taken = self.unsaved.take();
        let changes = taken.unwrap_or_else(|| Arc::new(self.window.take_changes()));
        self.unsaved = Some(changes.clone());
        let (db, group) = (self.consumer.db.clone(), self.consumer.group.name);
        self.saving = Some(Box::pin(async move { store::save(&db, group, changes).await }));
    }

    /// When there is something to do though nothing happens.
    fn next_time(&self) -> Instant {
        let can_read = self.reading.is_none() && self.window.held() < MAX_HELD;
        let read_at = can_read.then_some(self.read_at);
        let save_at = self.save_at.filter(|_| self.saving.is_none());
        let times = [read_at, save_at, self.window.next_retry()];
        times.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + POLL)
    }

    /// Notes all that have ended by now.
    fn finish_all(&mut self, first: Finished) {
        let mut next = Some(first);
        while let Some(finished) = next {
            self.finish(finished);
            next = self.running.next().now_or_never().flatten();
        }
        self.consumer.meters.lag.set(self.window.lag());
    }

    fn finish(&mut self, (key, result): Finished) {
        let Consumer { group, meters, .. } = &self.consumer;
        let failure = result.as_ref().err().cloned();
        let verdict = self.window.finish(&key, result, Instant::now());
        if let Some(failure) = failure {
            meters.failed.inc();
            tracing::warn!(group = group.name, %key, %failure, ?verdict, "event not handled");
        }
        match verdict {
            Verdict::Done => drop(meters.consumed.inc()),
            Verdict::Dead => drop(meters.dead_lettered.inc()),
            Verdict::Again => {}
        }
    }

    fn take_pages(&mut self, pages: Result<Vec<Page>, Failure>) {
        match pages {
            Ok(pages) => {
                let some = pages.iter().any(|page| !page.records.is_empty());
                self.window.admit_pages(pages);
                if some && self.window.has_unread() {
                    self.read_at = Instant::now();
                }
                self.consumer.meters.lag.set(self.window.lag());
            }
            Err(failure) => {
                self.consumer.warn("log not read", &failure);
                self.read_at = Instant::now() + PAUSE;
            }
        }
    }

    fn saved(&mut self, saved: Result<(), Failure>) {
        match saved {
            Ok(()) => self.unsaved = None,
            Err(failure) => {
                self.consumer.warn("progress not stored", &failure);
                self.save_at = Some(Instant::now() + PAUSE);
            }
        }
    }

    fn woken(&mut self) {
        let replayed = &self.consumer.group.replayed;
        let replayed =
            std::mem::take(&mut *replayed.lock().unwrap_or_else(PoisonError::into_inner));
        for record in replayed {
            self.window.admit_parked(Tried::new(record));
        }
    }

    /// Lets what runs end, and stores how far it came.
    async fn stop(mut self) {
        let until = Instant::now() + DRAIN;
        while let Ok(Some(finished)) = timeout_at(until, self.running.next()).await {
            self.finish(finished);
        }
        if let Some(saving) = self.saving.take() {
            let saved = saving.await;
            self.saved(saved);
        }
        let last = [self.unsaved.take(), Some(Arc::new(self.window.take_changes()))];
        for changes in last.into_iter().flatten() {
            let Consumer { db, group, .. } = &self.consumer;
            if let Err(failure) = store::save(db, group.name, changes).await {
                // What was done will be done again.
                return self.consumer.warn("progress not stored", &failure);
            }
        }
    }
}

/// Calls the handler; a panic and an answer that never comes are failures like others.
pub(super) async fn handle(
    handler: Handler,
    delivery: Delivery,
    limit: Duration,
) -> Result<(), Failure> {
    let handling = AssertUnwindSafe(async move { handler(delivery).await }).catch_unwind();
    match tokio::time::timeout(limit, handling).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Failure::internal("the handler panicked")),
        Err(_) => Err(Failure::new(Code::Deadline, "DEADLINE", "the handler took too long")),
    }
}

/// The result of what is in the slot, which is empty then; never, if it is empty.
pub(super) async fn ready<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(work) = slot else { return future::pending().await };
    let result = work.await;
    *slot = None;
    result
}
