//! Both event logs keep their promises: the one in this process, and Kafka.

pub(super) mod conformance;
mod kafka;

use std::{sync::Arc, time::Duration};

use conformance::Subject;
use testkit::TestDb;

use super::{Bus, Settings, store};
use crate::Tasks;

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
        let pages = store::read(&db, vec![(topic, 0)], 1).await.unwrap();
        pages[0].records[0].0
    };
    assert!(!store::trim(&db, topic, 2, 3).await.unwrap());
    assert_eq!(first().await, 1, "nobody has read it");
    for (group, seq) in [("one", 9), ("two", 8)] {
        store::begin(&db, group, [topic].into()).await.unwrap();
        let changes = super::window::Changes { offsets: vec![(topic, seq)], ..Default::default() };
        store::save(&db, group, Arc::new(changes)).await.unwrap();
    }
    assert!(store::trim(&db, topic, 2, 3).await.unwrap(), "there is more");
    assert_eq!(first().await, 4);
    assert!(!store::trim(&db, topic, 2, 3).await.unwrap());
    assert_eq!(first().await, 7, "two of what all have passed are kept");
    assert_eq!(bus.lag("two", &[topic]).await.unwrap(), 2);
    assert_eq!(bus.lag("new", &[topic]).await.unwrap(), 4);
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
    bus.consume("slow", &[super::BOOKING_EVENTS], handler, &crate::Metrics::new(), &tasks);
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
