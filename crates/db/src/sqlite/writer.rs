//! The writer: one thread a file. Transactions that arrive while a batch commits are the next
//! batch, with one `COMMIT` and so one flush for all of them.

use std::{sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};

use super::tx::{self, lite};
use crate::{Body, Error, Tx, stats::Counters};

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
    /// Answers the caller, with `Err` if the transaction could not be committed.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

pub(super) struct Write<T, E, F> {
    pub(super) body: F,
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
        let mut writer = Self { tx, queue, counters, closed: None };
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
        }
        self.optimize();
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

    /// Runs all of `jobs`, each in a savepoint, and commits; says how many were kept.
    fn try_commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<usize, Error> {
        lite(&mut self.tx)?.control("BEGIN IMMEDIATE")?;
        let ran = self.run_all(jobs);
        let ended = ran.and_then(|kept| {
            let end = if kept > 0 { "COMMIT" } else { "ROLLBACK" };
            lite(&mut self.tx)?.control(end).map(|()| kept)
        });
        let lite = lite(&mut self.tx)?;
        if ended.is_err() && !lite.connection.is_autocommit() {
            lite.control("ROLLBACK")?;
        }
        ended
    }

    fn run_all(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<usize, Error> {
        let alone = jobs.len() == 1;
        let mut kept = 0;
        for job in jobs {
            if !alone {
                lite(&mut self.tx)?.control("SAVEPOINT job")?;
            }
            let keep = job.run(&mut self.tx);
            let lite = lite(&mut self.tx)?;
            let failure = lite.failure().cloned();
            self.counters.statements.add(lite.renew());
            if lite.connection.is_autocommit() {
                // SQLite itself rolled back, and with this job all before it: the disk is full, or
                // worse.
                return Err(failure.unwrap_or_else(|| Error::Unavailable("rolled back".to_owned())));
            }
            if !alone && !keep {
                lite.control("ROLLBACK TO job")?;
            }
            if !alone {
                lite.control("RELEASE job")?;
            }
            kept += usize::from(keep);
        }
        Ok(kept)
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

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
