//! What a database has done, as metrics: read when they are asked for, kept nowhere.

use db::{Db, Stats};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::counter::ConstCounter,
};

use crate::Metrics;

/// A counter: its name without `_total`, what it tells, and where it stands.
type Read = (&'static str, &'static str, fn(&Stats) -> u64);

const COUNTERS: [Read; 8] = [
    ("db_writes", "Writes that were committed.", |stats| stats.writes),
    ("db_commits", "Durable commits; several writes may share one.", |stats| stats.commits),
    ("db_rollbacks", "Transactions that were rolled back.", |stats| stats.rollbacks),
    ("db_reads", "Reads that were answered.", |stats| stats.reads),
    ("db_statements", "Statements run.", |stats| stats.statements),
    ("db_retries", "Transactions run again after a conflict.", |stats| stats.retries),
    ("db_replica_reads", "Reads that the replica answered.", |stats| stats.replica_reads),
    ("db_replica_fallbacks", "Reads that the replica could not answer.", |stats| {
        stats.replica_fallbacks
    }),
];

struct Counted(Db);

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Counted").field(&self.0.stats()).finish()
    }
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        for (name, help, read) in COUNTERS {
            let counter = ConstCounter::new(read(&stats));
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

/// Adds what `db` does to `metrics`.
pub(crate) fn register(metrics: &Metrics, db: Db) {
    metrics.extend(|registry| registry.register_collector(Box::new(Counted(db))));
}
