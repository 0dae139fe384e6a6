//! What a database has done so far, as plain numbers: for metrics and benches.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one [`Db`](crate::Db) since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Writes that were committed.
    pub writes: u64,
    /// Writes and reads that were rolled back.
    pub rollbacks: u64,
    /// Durable commits; fewer than `writes` where SQLite's writer committed several together.
    pub commits: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Statements run, each row of `execute_many` counted.
    pub statements: u64,
    /// Transactions run again after a conflict.
    pub retries: u64,
    /// Reads that a replica answered; counted in `reads`, too.
    pub replica_reads: u64,
    /// Reads that a replica was there for and the primary answered.
    pub replica_fallbacks: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) writes: Counter,
    pub(crate) rollbacks: Counter,
    pub(crate) commits: Counter,
    pub(crate) reads: Counter,
    pub(crate) statements: Counter,
    pub(crate) retries: Counter,
    pub(crate) replica_reads: Counter,
    pub(crate) replica_fallbacks: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n` and returns what was counted before.
    pub(crate) fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Relaxed)
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            writes: self.writes.get(),
            rollbacks: self.rollbacks.get(),
            commits: self.commits.get(),
            reads: self.reads.get(),
            statements: self.statements.get(),
            retries: self.retries.get(),
            replica_reads: self.replica_reads.get(),
            replica_fallbacks: self.replica_fallbacks.get(),
        }
    }
}
