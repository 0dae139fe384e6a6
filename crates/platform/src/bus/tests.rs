//! Both event logs keep their promises: the one in this process, and Kafka.

pub(super) mod conformance;
mod kafka;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use conformance::Subject;
use testkit::TestDb;
use tokio::sync::Notify;

use super::{
    BOOKING_EVENTS, Bus, CATALOG_EVENTS, Envelope, PAYMENT_EVENTS, Settings,
    memory::{Fresh, Group, Memory},
    store,
    streams::{Outboxes, outbox_of},
};
use crate::{MIGRATIONS, Metrics, Tasks, outbox::Outbox};

/// A log on a database of its own.
#[derive(Clone)]
struct InProcess(Arc<TestDb>);

impl InProcess {
    fn new(database: TestDb) -> Self {
        println!("on {}", database.engine());
        Self(Arc::new(database))
    }
}

impl Subject for InProcess {
    const PASSES_REPEATS: bool = true;

    async fn open(&self, tasks: &Tasks) -> Bus {
        let db = self.0.open_again().await;
        Bus::memory_with(db, tasks.clone(), impatient()).await.unwrap()
    }
}

/// A log whose topics are outboxes, each on a database of its own.
#[derive(Clone)]
struct InPlace(Arc<Rooms>);

struct Rooms {
    log: TestDb,
    rooms: Vec<(&'static str, TestDb)>,
    /// Of the life that is lived just now.
    outboxes: Mutex<Vec<Outbox>>,
}

impl InPlace {
    async fn new() -> Self {
        let mut rooms = Vec::new();
        for topic in [BOOKING_EVENTS, PAYMENT_EVENTS, CATALOG_EVENTS] {
            rooms.push((topic, testkit::sqlite(&[&MIGRATIONS]).await));
        }
        let (log, outboxes) = (testkit::sqlite(&[]).await, Mutex::default());
        Self(Arc::new(Rooms { log, rooms, outboxes }))
    }
}

impl Subject for InPlace {
    const PASSES_REPEATS: bool = false;

    async fn open(&self, tasks: &Tasks) -> Bus {
        let db = self.0.log.open_again().await;
        let bus = Bus::memory_with(db, tasks.clone(), impatient()).await.unwrap();
        let mut outboxes = Vec::new();
        for (topic, room) in &self.0.rooms {
            let outbox = Outbox::new(topic);
            outbox.relay(room.open_again().await, bus.clone(), &Metrics::new(), tasks);
            outboxes.push(outbox);
        }
        *self.0.outboxes.lock().unwrap() = outboxes;
        bus
    }

    async fn publish(&self, _: &Bus, events: &[Envelope]) {
        let outboxes = self.0.outboxes.lock().unwrap().clone();
        for ((topic, room), outbox) in self.0.rooms.iter().zip(outboxes) {
            let its = |event: &&Envelope| event.topic == *topic;
            write(&room.db, &outbox, events.iter().filter(its).cloned().collect()).await;
        }
    }
}

async fn write(db: &db::Db, outbox: &Outbox, events: Vec<Envelope>) {
    let own = outbox.clone();
    let written = db.write(move |tx| {
        let (own, events) = (own.clone(), events.clone());
        Box::pin(async move { own.append(tx, &events).await })
    });
    Result::<(), db::Error>::unwrap(written.await);
    outbox.wake();
}

mod in_place {
    use super::{InPlace, conformance};

    macro_rules! conforms {
        ($($name:ident => $part:ident),* $(,)?) => {$(
            #[tokio::test]
            async fn $name() {
                conformance::$part(&InPlace::new().await).await;
            }
        )*};
    }

    conformance::promises!(conforms);
}

/// Short pauses, and three tries.
fn impatient() -> Settings {
    Settings {
        max_attempts: 3,
        first_delay: Duration::from_millis(2),
        longest_delay: Duration::from_millis(10),
        ..Settings::default()
    }
}

macro_rules! conforms {
    ($($name:ident => $part:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            for database in testkit::databases(&[]).await {
                conformance::$part(&InProcess::new(database)).await;
            }
        }
    )*};
}

conformance::promises!(conforms);

#[tokio::test]
async fn only_what_all_groups_have_passed_is_trimmed() {
    for database in testkit::databases(&[]).await {
        trimming(&InProcess::new(database)).await;
    }
}

async fn trimming(subject: &InProcess) {
    let tasks = Tasks::new();
    let bus = subject.open(&tasks).await;
    let events: Vec<_> = (1..=10).map(|number| conformance::event("a", number)).collect();
    bus.publish(&events).await.unwrap();
    let (db, topic) = (subject.0.open_again().await, super::BOOKING_EVENTS);
    let first = async || {
        let outboxes = Outboxes::default();
        let pages = store::read(&db, &outboxes, vec![(topic, 0)], 1).await.unwrap();
        pages[0].records[0].0
    };
    assert!(!store::trim(&db, topic, 2, 3).await.unwrap());
    assert_eq!(first().await, 1, "nobody has read it");
    for (group, seq) in [("one", 9), ("two", 8)] {
        passes(&db, group, topic, seq).await;
    }
    assert!(store::trim(&db, topic, 2, 3).await.unwrap(), "there is more");
    assert_eq!(first().await, 4);
    assert!(!store::trim(&db, topic, 2, 3).await.unwrap());
    assert_eq!(first().await, 7, "two of what all have passed are kept");
    assert_eq!(bus.lag("two", &[topic]).await.unwrap(), 2);
    assert_eq!(bus.lag("new", &[topic]).await.unwrap(), 4);
    tasks.stop(Duration::from_secs(5)).await;
}

/// Has `group` be done with all of `stream` up to number `seq`.
async fn passes(db: &db::Db, group: &'static str, stream: &'static str, seq: i64) {
    store::begin(db, group, [stream].into()).await.unwrap();
    let changes = super::window::Changes { offsets: vec![(stream, seq)], ..Default::default() };
    store::save(db, group, Arc::new(changes)).await.unwrap();
}

#[test]
fn where_more_is_told_than_is_kept_each_stream_s_end_is_still_known() {
    let group = Group {
        name: "slow",
        streams: [BOOKING_EVENTS, PAYMENT_EVENTS].into(),
        wake: Notify::new(),
        fresh: Mutex::default(),
        replayed: Mutex::default(),
    };
    let record = |number| (number, conformance::event("a", 1).here());
    let tell = |stream, numbers: std::ops::RangeInclusive<i64>| {
        let last = *numbers.end();
        group.tell(Fresh { stream, last, records: numbers.map(record).collect() });
    };
    tell(PAYMENT_EVENTS, 1..=7);
    tell(BOOKING_EVENTS, 1..=5_000);
    tell(BOOKING_EVENTS, 5_001..=5_001);
    let fresh = group.fresh.lock().unwrap();
    let told: Vec<_> = fresh.iter().map(|its| (its.stream, its.last, its.records.len())).collect();
    let all = [(BOOKING_EVENTS, 5_000, 0), (PAYMENT_EVENTS, 7, 0), (BOOKING_EVENTS, 5_001, 1)];
    assert_eq!(told, all);
}

#[tokio::test]
async fn of_an_outbox_too_only_what_all_groups_have_passed_is_trimmed() {
    let (tasks, log) = (Tasks::new(), testkit::sqlite(&[]).await);
    let room = testkit::sqlite(&[&MIGRATIONS]).await;
    let bus = Bus::memory(log.db.clone(), tasks.clone()).await.unwrap();
    let (outbox, stream) = (Outbox::new(BOOKING_EVENTS), outbox_of(BOOKING_EVENTS).unwrap());
    for number in 1..=10 {
        write(&room.db, &outbox, vec![conformance::event("a", number)]).await;
    }
    assert!(bus.follow(BOOKING_EVENTS, &room.db).is_some());
    let ends = async || crate::outbox::follow::ends(&room.db).await.unwrap();
    let trim = async || store::trim_outbox(&log.db, (stream, &room.db), 2, 3).await.unwrap();
    assert!(!trim().await);
    assert_eq!(ends().await, (1, 10), "nobody has read it");
    for (group, seq) in [("one", 9), ("two", 8)] {
        passes(&log.db, group, stream, seq).await;
    }
    assert!(trim().await, "there is more");
    assert_eq!(ends().await, (4, 10));
    assert!(!trim().await);
    assert_eq!(ends().await, (7, 10), "two of what all have passed are kept");
    assert_eq!(bus.lag("two", &[BOOKING_EVENTS]).await.unwrap(), 2);
    assert_eq!(bus.lag("new", &[BOOKING_EVENTS]).await.unwrap(), 4);
    // Events that were written together go together.
    write(&room.db, &outbox, (11..=20).map(|number| conformance::event("a", number)).collect())
        .await;
    for group in ["one", "two"] {
        passes(&log.db, group, stream, 18).await;
    }
    assert!(trim().await, "there is more");
    assert!(!trim().await);
    assert_eq!(ends().await, (11, 20), "two of what was passed are kept, and with them their row");
    tasks.stop(Duration::from_secs(5)).await;
}

/// Read models are built anew from some topics: of these, nothing is trimmed.
#[tokio::test]
async fn an_outbox_is_trimmed_by_the_log_unless_its_topic_is_kept_whole() {
    let (tasks, log) = (Tasks::new(), testkit::sqlite(&[]).await);
    let settings = Settings { kept_events: 2, ..impatient() };
    let memory = Memory::open(log.db.clone(), settings, &tasks).await.unwrap();
    for (topic, first) in [(BOOKING_EVENTS, 3), (CATALOG_EVENTS, 1)] {
        let (room, outbox) = (testkit::sqlite(&[&MIGRATIONS]).await, Outbox::new(topic));
        let event = |number| Envelope { topic: topic.into(), ..conformance::event("a", number) };
        for number in 1..=4 {
            write(&room.db, &outbox, vec![event(number)]).await;
        }
        Memory::follow(&memory, topic, &room.db).unwrap();
        passes(&log.db, "one", outbox_of(topic).unwrap(), 4).await;
        memory.trim().await.unwrap();
        assert_eq!(crate::outbox::follow::ends(&room.db).await.unwrap(), (first, 4), "{topic}");
    }
    tasks.stop(Duration::from_secs(5)).await;
}

/// More waits for it than is kept in memory: the rest is read from the log.
#[tokio::test]
async fn a_group_that_was_held_up_misses_nothing() {
    let subject = InProcess::new(testkit::sqlite(&[]).await);
    let tasks = Tasks::new();
    let bus = subject.open(&tasks).await;
    let (seen, gate) = (conformance::Seen::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let handler = {
        let (seen, gate) = (seen.clone(), gate.clone());
        conformance::handler(move |delivery| {
            let (seen, gate) = (seen.clone(), gate.clone());
            async move {
                let _open = gate.acquire().await;
                seen.note(&delivery);
                Ok(())
            }
        })
    };
    bus.consume(
        ("slow", super::Urgency::Soon),
        &[super::BOOKING_EVENTS],
        handler,
        &crate::Metrics::new(),
        &tasks,
    );
    let batches = 30;
    for batch in 0..batches {
        let events =
            (0..400).map(|n| conformance::event(&format!("k{}", n % 40), batch * 10 + n / 40));
        bus.publish(&events.collect::<Vec<_>>()).await.unwrap();
    }
    gate.add_permits(1);
    let count = usize::try_from(batches).unwrap() * 400;
    conformance::until("it has all", async || seen.count() == count).await;
    for key in 0..40 {
        let key = format!("k{key}");
        let expected: Vec<_> = (0..batches * 10).map(|number| format!("{key}:{number}")).collect();
        assert_eq!(seen.firsts(&key), expected);
    }
    tasks.stop(Duration::from_secs(5)).await;
}
