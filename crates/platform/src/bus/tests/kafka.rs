//! The event log on Kafka keeps its promises, those of one process and those of many.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kernel::{Code, Ids, Timestamp};

use super::conformance::{self, Seen, Subject, until};
use crate::{
    Metrics, SystemIds, Tasks,
    bus::{BOOKING_EVENTS, Bus, Envelope, Handler, KafkaSettings, Urgency},
};

/// A log on the test broker, under a namespace of its own.
#[derive(Clone)]
struct OnKafka(KafkaSettings);

impl OnKafka {
    fn new() -> Self {
        let namespace = format!("test-{}-", SystemIds.uuid(Timestamp::EPOCH).simple());
        let (partitions, events) = (3, super::impatient());
        let settings = KafkaSettings::new(testkit::kafka_brokers());
        Self(KafkaSettings { namespace, partitions, events, ..settings })
    }
}

impl Subject for OnKafka {
    const PASSES_REPEATS: bool = false;

    async fn open(&self, tasks: &Tasks) -> Bus {
        Bus::kafka(&self.0, tasks).await.unwrap()
    }
}

macro_rules! conforms {
    ($($name:ident => $part:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            conformance::$part(&OnKafka::new()).await;
        }
    )*};
}

conformance::promises!(conforms);

/// What the members of a group did, all of them together.
#[derive(Clone, Default)]
struct Work {
    seen: Seen,
    by: Arc<Mutex<HashMap<&'static str, usize>>>,
    busy: Arc<Mutex<HashSet<String>>>,
    overlapped: Arc<AtomicBool>,
}

impl Work {
    /// A member's handler: it takes some time, and looks whether another has the key.
    fn of(&self, member: &'static str) -> Handler {
        let work = self.clone();
        conformance::handler(move |delivery| {
            let work = work.clone();
            async move {
                let begun = work.begin(member);
                if member == "dying" && begun > 300 {
                    // It dies at work.
                    std::future::pending::<()>().await;
                }
                if !work.busy.lock().unwrap().insert(delivery.key.to_string()) {
                    work.overlapped.store(true, Ordering::SeqCst);
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
                work.seen.note(&delivery);
                work.busy.lock().unwrap().remove(&*delivery.key);
                Ok(())
            }
        })
    }

    fn begin(&self, member: &'static str) -> usize {
        let mut by = self.by.lock().unwrap();
        let begun = by.entry(member).or_default();
        *begun += 1;
        *begun
    }

    fn count(&self, member: &str) -> usize {
        self.by.lock().unwrap().get(member).copied().unwrap_or(0)
    }

    /// All events were handled, those of a key in order.
    fn assert_whole(&self, keys: u32, numbers: u32) {
        for key in 0..keys {
            let key = format!("k{key}");
            let expected: Vec<_> = (0..numbers).map(|number| format!("{key}:{number}")).collect();
            assert_eq!(self.seen.firsts(&key), expected);
        }
    }
}

/// Event `number` of each key.
fn round(keys: u32, number: u32) -> Vec<Envelope> {
    (0..keys).map(|key| conformance::event(&format!("k{key}"), number)).collect()
}

fn consume(bus: &Bus, handler: Handler, tasks: &Tasks) {
    bus.consume(("readers", Urgency::Soon), &[BOOKING_EVENTS], handler, &Metrics::new(), tasks);
}

#[tokio::test]
async fn members_come_and_go_and_each_event_is_handled_once_by_one_of_them() {
    let subject = OnKafka::new();
    let (one, two, work) = (Tasks::new(), Tasks::new(), Work::default());
    let bus = subject.open(&one).await;
    consume(&bus, work.of("one"), &one);
    for number in 0..20 {
        bus.publish(&round(50, number)).await.unwrap();
    }
    until("one is at work", async || work.count("one") > 50).await;
    let second = subject.open(&two).await;
    consume(&second, work.of("two"), &two);
    let mut rounds = 20;
    until("both are at work", async || {
        second.publish(&round(50, rounds)).await.unwrap();
        rounds += 1;
        work.count("two") > 500
    })
    .await;
    assert_eq!(one.stop(Duration::from_secs(10)).await, 0);
    let ones = work.count("one");
    second.publish(&round(50, rounds)).await.unwrap();
    let lag = async || second.lag("readers", &[BOOKING_EVENTS]).await;
    until("all is handled", async || lag().await.is_ok_and(|lag| lag == 0)).await;
    assert_eq!(two.stop(Duration::from_secs(10)).await, 0);
    assert_eq!(work.count("one"), ones, "who left is idle");
    assert!(!work.overlapped.load(Ordering::SeqCst), "two events of one key at once");
    work.assert_whole(50, rounds + 1);
    let count = usize::try_from(50 * (rounds + 1)).unwrap();
    assert_eq!(work.seen.count(), count, "an orderly move repeats nothing");
}

#[tokio::test]
async fn another_member_takes_over_from_one_that_dies() {
    let subject = OnKafka::new();
    let (tasks, work) = (Tasks::new(), Work::default());
    let bus = subject.open(&tasks).await;
    let dying = tokio::runtime::Runtime::new().unwrap();
    let (its_subject, its_work) = (subject.clone(), work.clone());
    dying.spawn(async move {
        let tasks = Tasks::new();
        consume(&its_subject.open(&tasks).await, its_work.of("dying"), &tasks);
        std::future::pending::<()>().await;
    });
    for number in 0..30 {
        bus.publish(&round(50, number)).await.unwrap();
    }
    until("it is at work", async || work.count("dying") > 300).await;
    dying.shutdown_background();
    work.busy.lock().unwrap().clear();
    consume(&bus, work.of("heir"), &tasks);
    let lag = async || bus.lag("readers", &[BOOKING_EVENTS]).await;
    until("all is handled", async || lag().await.is_ok_and(|lag| lag == 0)).await;
    assert!(work.count("dying") < 500 && work.count("heir") >= 1_200);
    work.assert_whole(50, 30);
    assert_eq!(tasks.stop(Duration::from_secs(10)).await, 0);
}

/// A relay and a consumer are at work while the broker is killed and starts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_crashes_and_returns_loses_nothing() {
    let start = || infra::Kafka::start(&infra::KafkaOptions::default()).unwrap();
    let broker = tokio::task::spawn_blocking(start).await.unwrap();
    let subject = OnKafka(KafkaSettings { brokers: broker.brokers(), ..OnKafka::new().0 });
    let (tasks, work) = (Tasks::new(), Work::default());
    let bus = subject.open(&tasks).await;
    consume(&bus, work.of("reader"), &tasks);
    let (publisher, is_back) = (bus.clone(), Arc::new(AtomicBool::new(false)));
    let returned = is_back.clone();
    let relay = async move {
        let (mut number, mut failures, mut after) = (0, 0, 0);
        while after < 20 {
            match publisher.publish(&round(20, number)).await {
                Ok(()) => {
                    number += 1;
                    after += u32::from(returned.load(Ordering::SeqCst));
                }
                Err(failure) => {
                    assert_eq!(failure.code, Code::Unavailable);
                    failures += 1;
                }
            }
        }
        (number, failures)
    };
    let crash = async {
        until("it is at work", async || work.count("reader") > 400).await;
        let restart = move || {
            broker.kill().unwrap();
            broker.start_again().unwrap();
            broker
        };
        let broker = tokio::task::spawn_blocking(restart).await.unwrap();
        is_back.store(true, Ordering::SeqCst);
        broker
    };
    let ((numbers, failures), broker) = tokio::join!(relay, crash);
    println!("{numbers} rounds, {failures} failures");
    let lag = async || bus.lag("readers", &[BOOKING_EVENTS]).await.is_ok_and(|lag| lag == 0);
    until("all is handled", lag).await;
    work.assert_whole(20, numbers);
    assert_eq!(tasks.stop(Duration::from_secs(10)).await, 0);
    drop(broker);
}
