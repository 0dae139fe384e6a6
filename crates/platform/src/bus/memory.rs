//! The event log in this process, kept in SQLite: appends, tells the groups, and trims.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use db::{Coalescer, Db};
use kernel::Failure;
use tokio::sync::Notify;

use super::{
    ACCOUNT_EVENTS, CATALOG_EVENTS, DeadLetter, Envelope, Handler, Settings, cloud_event::Record,
    consumer::Consumer, meters::Registered, store,
};
use crate::{Metrics, Tasks};

/// Read models are built from these, so that all of them are kept.
const KEPT_TOPICS: [&str; 2] = [ACCOUNT_EVENTS, CATALOG_EVENTS];
/// How often the log is looked over for events that nobody needs.
const TRIM_PERIOD: Duration = Duration::from_secs(30);
/// The most events removed in one transaction.
const TRIM_BATCH: i64 = 2_000;

pub(super) struct Memory {
    db: Db,
    appender: Coalescer<Vec<Record>, (), Failure>,
    settings: Settings,
    groups: Mutex<Vec<Arc<Group>>>,
    registered: Registered,
}

/// What a group's consumer is told.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) topics: Arc<[&'static str]>,
    /// There are new events, or dead letters to handle again.
    pub(super) wake: Notify,
    pub(super) replayed: Mutex<Vec<Record>>,
}

impl Memory {
    pub(super) async fn open(
        db: Db,
        settings: Settings,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, Failure> {
        db.migrate(&[&store::MIGRATIONS]).await?;
        let (groups, registered) = (Mutex::default(), Registered::default());
        let appender = store::appender(db.clone());
        let log = Arc::new(Self { db, appender, settings, groups, registered });
        let trimmed = log.clone();
        tasks.every("bus-trim", TRIM_PERIOD, Arc::default(), move || {
            let log = trimmed.clone();
            async move { log.trim().await }
        });
        Ok(log)
    }

    pub(super) async fn publish(&self, events: &[Envelope]) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        let topics: BTreeSet<&str> = events.iter().map(|event| &*event.topic).collect();
        let records = events.iter().map(Envelope::record).collect::<Result<_, _>>()?;
        self.appender.call(records).await?;
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for group in groups.iter() {
            if group.topics.iter().any(|topic| topics.contains(topic)) {
                group.wake.notify_one();
            }
        }
        Ok(())
    }

    pub(super) fn consume(
        &self,
        name: &'static str,
        topics: &[&'static str],
        handler: Handler,
        metrics: &Metrics,
        tasks: &Tasks,
    ) {
        let group = Arc::new(Group {
            name,
            topics: topics.into(),
            wake: Notify::new(),
            replayed: Mutex::default(),
        });
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.push(group.clone());
        let (db, settings) = (self.db.clone(), self.settings);
        let meters = self.registered.meters(name, metrics);
        let consumer = Consumer { db, settings, group, handler, meters };
        tasks.spawn(name, consumer.run(tasks.stopping()));
    }

    pub(super) async fn dead_letters(
        &self,
        group: &str,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Failure> {
        store::dead_letters(&self.db, group, limit).await
    }

    pub(super) async fn replay(&self, number: i64) -> Result<bool, Failure> {
        let Some((name, record)) = store::exhume(&self.db, number).await? else {
            return Ok(false);
        };
        // A group that does not run here finds the event among its parked ones when it starts.
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.iter().find(|group| group.name == name) {
            group.replayed.lock().unwrap_or_else(PoisonError::into_inner).push(record);
            group.wake.notify_one();
        }
        Ok(true)
    }

    pub(super) async fn lag(&self, group: &str, topics: &[&'static str]) -> Result<u64, Failure> {
        store::lag(&self.db, group, topics.into()).await
    }

    /// Removes some of what nobody needs any more; answers whether there is more of it.
    async fn trim(&self) -> Result<bool, Failure> {
        let mut more = false;
        for topic in super::TOPICS {
            if !KEPT_TOPICS.contains(&topic) {
                more |= store::trim(&self.db, topic, self.settings.kept_events, TRIM_BATCH).await?;
            }
        }
        Ok(more)
    }
}
