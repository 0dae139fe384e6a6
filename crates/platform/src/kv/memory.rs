//! The key-value parts in this process.

use std::sync::Arc;

use db::Db;
use kernel::{Clock, Failure};

use super::{cache::Cache, channels::Channels, limits::Limits, locks::Locks, queue::Queue, store};

pub(super) struct Memory {
    pub(super) cache: Cache,
    pub(super) locks: Locks,
    pub(super) limits: Limits,
    pub(super) channels: Arc<Channels>,
    pub(super) queue: Queue,
}

impl Memory {
    pub(super) async fn open(db: Db, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        db.migrate(&[&store::MIGRATIONS]).await?;
        let term = store::next_term(&db).await?;
        Ok(Self {
            cache: Cache::new(clock.clone()),
            locks: Locks::new(clock.clone(), term),
            limits: Limits::new(clock.clone()),
            channels: Arc::default(),
            queue: Queue::memory(db, clock).await?,
        })
    }
}
