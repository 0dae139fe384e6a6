//! The event log in this process, kept in SQLite: appends, hands what is appended to the groups,
//! and trims.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use db::{Coalescer, Db};
use kernel::Failure;
use tokio::sync::Notify;

use super::{
    ACCOUNT_EVENTS, CATALOG_EVENTS, DeadLetter, Envelope, Handler, Settings, TOPICS,
    cloud_event::Record, consumer::Consumer, meters::Registered, store,
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
    appender: Coalescer<Arc<[Record]>, Vec<Option<i64>>, Failure>,
    settings: Settings,
    groups: Mutex<Vec<Arc<Group>>>,
    registered: Registered,
}

/// The most new events that are kept for a group beside the log; of the rest it is told that they
/// are there, and reads them.
const MAX_FRESH: usize = 4_096;

/// New events of one topic, with their numbers.
pub(super) type Fresh = (&'static str, Arc<[(i64, Record)]>);

/// What a group's consumer is told.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) topics: Arc<[&'static str]>,
    /// There are new events, or dead letters to handle again.
    pub(super) wake: Notify,
    /// New events in their order; what is missing between them is in the log.
    pub(super) fresh: Mutex<VecDeque<Fresh>>,
    pub(super) replayed: Mutex<Vec<Record>>,
}

impl Group {
    fn tell(&self, fresh: Fresh) {
        let mut waiting = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let count: usize = waiting.iter().map(|(_, records)| records.len()).sum();
        if count >= MAX_FRESH {
            // What is left shows the group that there is more in the log.
            waiting.pop_front();
        }
        waiting.push_back(fresh);
        drop(waiting);
        self.wake.notify_one();
    }
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
        let records = events.iter().map(Envelope::record).collect::<Result<Arc<[_]>, _>>()?;
        let numbers = self.appender.call(records.clone()).await?;
        let mut fresh: BTreeMap<&'static str, Vec<(i64, Record)>> = BTreeMap::new();
        for (record, number) in records.iter().zip(numbers) {
            let known = TOPICS.into_iter().find(|topic| *topic == record.topic);
            // A repeat has no number of its own.
            if let (Some(topic), Some(number)) = (known, number) {
                fresh.entry(topic).or_default().push((number, record.clone()));
            }
        }
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, records) in fresh {
            let records: Arc<[(i64, Record)]> = records.into();
            for group in groups.iter().filter(|group| group.topics.contains(&topic)) {
                group.tell((topic, records.clone()));
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
            fresh: Mutex::default(),
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
        for topic in TOPICS {
            if !KEPT_TOPICS.contains(&topic) {
                more |= store::trim(&self.db, topic, self.settings.kept_events, TRIM_BATCH).await?;
            }
        }
        Ok(more)
    }
}
