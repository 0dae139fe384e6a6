//! The writer: one thread a file. Transactions that arrive while a batch commits are the next
//! batch, with one `COMMIT` and so one flush for all of them.

use std::{sync::Arc, thread};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::tx::{self, lite};
use crate::{Body, CROWD, Error, RUSH, SQLITE_PACE, SQLITE_REST, Tx, stats::Counters};

/// The most transactions that share a commit; it bounds how long the first of them waits.
const MAX_BATCH: usize = 1_024;

pub(super) enum Message {
    /// A transaction, to be committed with its neighbours.
    Write(Box<dyn Job>),
    /// Work that wants the connection to itself, outside any transaction.
    Exclusive(Box<dyn FnOnce(&mut rusqlite::Connection) + Send>),
    /// Ends the thread, once all before it is done; dropped when the file is closed.
    Close(oneshot::Sender<()>),
}

/// A transaction with its caller's types forgotten.
pub(super) trait Job: Send {
    /// Runs the body; false if its changes are to be undone. May be called again after a rollback.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// How many requests it decides.
    fn requests(&self) -> usize;
    /// Answers the caller, with `Err` if the transaction could not be committed.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

pub(super) struct Write<T, E, F> {
    pub(super) body: F,
    pub(super) requests: usize,
    pub(super) result: Option<Result<T, E>>,
    pub(super) caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Write<T, E, F>
where
    T: Send,
    E: From<Error> + Send,
    F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send,
{
    fn run(&mut self, tx: &mut Tx) -> bool {
        let result = tx::run(&self.body, tx);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn requests(&self) -> usize {
        self.requests
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::closed().into()),
            (Err(error), _) => Err(error.into()),
        };
        // A caller that has gone is fine: the transaction ran to its end without it.
        let _gone = self.caller.send(result);
    }
}

pub(super) struct Writer {
    tx: Tx,
    queue: mpsc::Receiver<Message>,
    counters: Arc<Counters>,
    /// Before when no batch begins.
    next_at: Option<Instant>,
    /// Who waits for the end. Last, so that it is told after `tx` has closed the file.
    closed: Option<oneshot::Sender<()>>,
}

impl Writer {
    /// Starts the thread on `tx`; it ends when it is told to, or when all senders are gone.
    pub(super) fn start(
        tx: Tx,
        max_waiting: usize,
        counters: Arc<Counters>,
    ) -> Result<mpsc::Sender<Message>, Error> {
        let (sender, queue) = mpsc::channel(max_waiting.max(1));
        let mut writer = Self { tx, queue, counters, next_at: None, closed: None };
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || writer.work())
            .map_err(|error| Error::Unavailable(format!("no thread for the writer: {error}")))?;
        Ok(sender)
    }

    fn work(&mut self) {
        let mut waiting = Vec::new();
        let mut batch = Vec::new();
        while self.queue.blocking_recv_many(&mut waiting, MAX_BATCH) > 0 {
            self.gather(&mut waiting);
            let (begun, requests) = (Instant::now(), requests(&waiting));
            for message in waiting.drain(..) {
                match message {
                    Message::Write(job) => batch.push(job),
                    Message::Exclusive(work) => {
                        self.commit(&mut batch);
                        if let Ok(lite) = lite(&mut self.tx) {
                            work(&mut lite.connection);
                        }
                    }
                    Message::Close(closed) => {
                        self.commit(&mut batch);
                        self.queue.close();
                        self.closed = Some(closed);
                    }
                }
            }
            self.commit(&mut batch);
            self.next_at = next_at(begun, Instant::now(), requests);
        }
        self.optimize();
    }

    /// In a rush, waits for those who come within the pace.
    fn gather(&mut self, waiting: &mut Vec<Message>) {
        if let Some(at) = self.next_at.take() {
            // It may return early, and no harm is done.
            thread::park_timeout(at.saturating_duration_since(Instant::now()));
            while waiting.len() < MAX_BATCH {
                let Ok(message) = self.queue.try_recv() else { break };
                waiting.push(message);
            }
        }
    }

    /// Commits `jobs` in one transaction and answers them all.
    fn commit(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        let kept = match self.try_commit(jobs) {
            // A deferred constraint that one of them violates must not fail the others.
            Err(Error::Constraint(_) | Error::Unique { .. }) if jobs.len() > 1 => {
                for job in jobs.drain(..) {
                    self.commit(&mut vec![job]);
                }
                return;
            }
            result => result,
        };
        if let Ok(kept) = kept {
            self.counters.writes.add(count(kept));
            self.counters.rollbacks.add(count(jobs.len() - kept));
            self.counters.commits.add(u64::from(kept > 0));
        } else {
            self.counters.rollbacks.add(count(jobs.len()));
        }
        for job in jobs.drain(..) {
            job.answer(kept.as_ref().map(|_| ()).map_err(Error::clone));
        }
    }

    /// Runs all of `jobs` and commits; says how many were kept. A savepoint copies every page that
    /// is changed after it, so there are none until a job fails that has changed something.
    fn try_commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<usize, Error> {
        let bare = self.transaction(|writer| writer.run_bare(jobs))?;
        if let Some(kept) = bare {
            return Ok(kept);
        }
        let kept = self.transaction(|writer| writer.run_guarded(jobs).map(Some))?;
        Ok(kept.unwrap_or_default())
    }

    /// A transaction of what `run` does; rolled back if it fails, keeps no job, or wants it so
    /// (`None`).
    fn transaction(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<Option<usize>, Error>,
    ) -> Result<Option<usize>, Error> {
        lite(&mut self.tx)?.control("BEGIN IMMEDIATE")?;
        let ended = run(self).and_then(|kept| {
            let end = if kept.is_some_and(|kept| kept > 0) { "COMMIT" } else { "ROLLBACK" };
            lite(&mut self.tx)?.control(end).map(|()| kept)
        });
        let lite = lite(&mut self.tx)?;
        if ended.is_err() && !lite.connection.is_autocommit() {
            lite.control("ROLLBACK")?;
        }
        ended
    }

    /// Runs all of `jobs` without savepoints. `None` as soon as one fails that has changed rows,
    /// unless it is alone: all have to run again, from a rollback.
    fn run_bare(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Option<usize>, Error> {
        let alone = jobs.len() == 1;
        let mut kept = 0;
        for job in jobs {
            let before = lite(&mut self.tx)?.connection.total_changes();
            let keep = self.run(&mut **job)?;
            if !keep && !alone && lite(&mut self.tx)?.connection.total_changes() != before {
                return Ok(None);
            }
            kept += usize::from(keep);
        }
        Ok(Some(kept))
    }

    /// Runs all of `jobs`, each in a savepoint.
    fn run_guarded(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<usize, Error> {
        let mut kept = 0;
        for job in jobs {
            lite(&mut self.tx)?.control("SAVEPOINT job")?;
            let keep = self.run(&mut **job)?;
            let lite = lite(&mut self.tx)?;
            if !keep {
                lite.control("ROLLBACK TO job")?;
            }
            lite.control("RELEASE job")?;
            kept += usize::from(keep);
        }
        Ok(kept)
    }

    /// Runs one job; says whether its changes are to be kept.
    ///
    /// # Errors
    /// If SQLite itself rolled back, and with this job all before it: the disk is full, or worse.
    fn run(&mut self, job: &mut dyn Job) -> Result<bool, Error> {
        let keep = job.run(&mut self.tx);
        let lite = lite(&mut self.tx)?;
        let failure = lite.failure().cloned();
        self.counters.statements.add(lite.renew());
        if lite.connection.is_autocommit() {
            return Err(failure.unwrap_or_else(|| Error::Unavailable("rolled back".to_owned())));
        }
        Ok(keep)
    }

    /// Leaves the planner's statistics fresh.
    fn optimize(&mut self) {
        if let Ok(lite) = lite(&mut self.tx)
            && let Err(error) = lite.connection.execute_batch("PRAGMA optimize")
        {
            tracing::debug!(%error, "sqlite could not be optimized");
        }
    }
}

/// How many requests `messages` decide.
fn requests(messages: &[Message]) -> usize {
    let each = messages.iter().map(|message| match message {
        Message::Write(job) => job.requests(),
        Message::Exclusive(_) | Message::Close(_) => 0,
    });
    each.sum()
}

/// Before when the batch after one of so many `requests` must not begin.
fn next_at(begun: Instant, ended: Instant, requests: usize) -> Option<Instant> {
    let paced = (requests >= RUSH).then(|| begun + SQLITE_PACE)?;
    if requests < CROWD {
        return Some(paced);
    }
    Some(paced.max(ended + ended.duration_since(begun).min(SQLITE_REST)))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_writer_waits_for_nobody_paces_a_rush_and_rests_after_a_crowd() {
        let begun = Instant::now();
        let after = |took_ms: u64, requests: usize| {
            let took = Duration::from_millis(took_ms);
            next_at(begun, begun + took, requests).map(|at| at.duration_since(begun))
        };
        assert_eq!(after(3, RUSH - 1), None);
        assert_eq!(after(3, RUSH), Some(SQLITE_PACE));
        assert_eq!(after(8, CROWD - 1), Some(SQLITE_PACE));
        assert_eq!(after(2, CROWD), Some(SQLITE_PACE));
        assert_eq!(after(8, CROWD), Some(Duration::from_millis(16)));
        assert_eq!(after(200, CROWD), Some(Duration::from_millis(200) + SQLITE_REST));
    }
}
