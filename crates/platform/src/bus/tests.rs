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
