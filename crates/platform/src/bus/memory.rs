//! The event log in this process, kept in SQLite: appends, or reads outboxes in place; hands what
//! is new to the groups, and trims.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use db::{Coalescer, Db, Engine};
use kernel::Failure;
use tokio::sync::Notify;

use super::{
    ACCOUNT_EVENTS, CATALOG_EVENTS, DeadLetter, Envelope, Handler, Settings, TOPICS,
    cloud_event::Record,
    consumer::Consumer,
    meters::Registered,
    store,
    streams::{self, Outboxes, outbox_of},
};
use crate::{Metrics, Tasks};

/// Read models are built from these, so that all of them are kept.
const KEPT_TOPICS: [&str; 2] = [ACCOUNT_EVENTS, CATALOG_EVENTS];
/// How often the log is looked over for events that nobody needs.
const TRIM_PERIOD: Duration = Duration::from_secs(30);
/// The most events removed in one transaction.
const TRIM_BATCH: i64 = 2_000;
/// The most rows of an outbox, whose service waits meanwhile.
const TRIM_OUTBOX_BATCH: i64 = 50;

pub(super) struct Memory {
    db: Db,
    appender: Coalescer<Arc<[Record]>, Vec<Option<i64>>, Failure>,
    outboxes: Outboxes,
    settings: Settings,
    groups: Mutex<Vec<Arc<Group>>>,
    registered: Registered,
}

/// The most new events that are kept for a group beside the log; of the rest it is told that they
/// are there, and reads them.
const MAX_FRESH: usize = 4_096;

/// New events of one stream, with their numbers.
#[derive(Clone)]
pub(super) struct Fresh {
    pub(super) stream: &'static str,
    /// The number of the stream's last event.
    pub(super) last: i64,
    pub(super) records: Arc<[(i64, Record)]>,
}

/// What a group's consumer is told.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) streams: Arc<[&'static str]>,
    /// There are new events, or dead letters to handle again.
    pub(super) wake: Notify,
    /// New events in their order; what is missing between them is in the log.
    pub(super) fresh: Mutex<VecDeque<Fresh>>,
    pub(super) replayed: Mutex<Vec<Record>>,
}

impl Group {
    pub(super) fn tell(&self, fresh: Fresh) {
        let mut waiting = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let count: usize = waiting.iter().map(|fresh| fresh.records.len()).sum();
        if count >= MAX_FRESH {
            // What is left shows the group how much there is to be read.
            let ends: BTreeMap<_, _> =
                waiting.drain(..).map(|fresh| (fresh.stream, fresh.last)).collect();
            let records: Arc<[(i64, Record)]> = Arc::new([]);
            let end = |(stream, last)| Fresh { stream, last, records: records.clone() };
            waiting.extend(ends.into_iter().map(end));
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
        let (appender, outboxes) = (store::appender(db.clone()), Outboxes::default());
        let log = Arc::new(Self { db, appender, outboxes, settings, groups, registered });
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
        for (stream, records) in fresh {
            let last = records.last().map_or(0, |(number, _)| *number);
            self.tell(&Fresh { stream, last, records: records.into() });
        }
        Ok(())
    }

    fn tell(&self, fresh: &Fresh) {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for group in groups.iter().filter(|group| group.streams.contains(&fresh.stream)) {
            group.tell(fresh.clone());
        }
    }

    /// Has the outbox in `db` be the log of `topic`, if `db` is on SQLite.
    pub(super) fn follow(log: &Arc<Self>, topic: &str, db: &Db) -> Option<Followed> {
        let stream = outbox_of(topic).filter(|_| db.engine() == Engine::Sqlite)?;
        log.outboxes.follow(stream, db);
        Some(Followed { log: log.clone(), stream })
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
            streams: streams::of(topics),
            wake: Notify::new(),
            fresh: Mutex::default(),
            replayed: Mutex::default(),
        });
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.push(group.clone());
        let (db, outboxes, settings) = (self.db.clone(), self.outboxes.clone(), self.settings);
        let meters = self.registered.meters(name, metrics);
        let consumer = Consumer { db, outboxes, settings, group, handler, meters };
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
        store::lag(&self.db, &self.outboxes, group, topics).await
    }

    /// Removes some of what nobody needs any more; answers whether there is more of it.
    pub(super) async fn trim(&self) -> Result<bool, Failure> {
        let mut more = false;
        let kept = self.settings.kept_events;
        for topic in TOPICS.into_iter().filter(|topic| !KEPT_TOPICS.contains(topic)) {
            more |= store::trim(&self.db, topic, kept, TRIM_BATCH).await?;
            let outbox =
                outbox_of(topic).and_then(|stream| Some((stream, self.outboxes.get(stream)?)));
            if let Some((stream, outbox)) = outbox {
                more |= store::trim_outbox(&self.db, (stream, &outbox), kept, TRIM_OUTBOX_BATCH)
                    .await?;
            }
        }
        Ok(more)
    }
}

/// An outbox that is the log of its topic.
pub(crate) struct Followed {
    log: Arc<Memory>,
    stream: &'static str,
}

impl Followed {
    /// Tells the groups of new events, with their numbers, and of the number of the last event.
    pub(crate) fn tell(&self, last: i64, events: &[(i64, Envelope)]) {
        let records = events.iter().map(|(number, event)| (*number, event.here())).collect();
        self.log.tell(&Fresh { stream: self.stream, last, records });
    }
}
