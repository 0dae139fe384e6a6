//! What every implementation of the event log must do. Each function takes a log of its own, and
//! fails where the log does not keep a promise of [`Bus`].

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use kernel::{Failure, MessageId, Timestamp};
use tokio::sync::Semaphore;

use crate::bus::{BOOKING_EVENTS, Bus, Delivery, Envelope, Handler, PAYMENT_EVENTS, Urgency};
use crate::{Metrics, Tasks};

/// Hands all promises, by the name of their test, to the macro `on`, which makes the tests of one
/// implementation: what is added here is held by all of them.
macro_rules! promises {
    ($on:ident) => {
        $on! {
            events_of_a_key_come_in_order => order,
            keys_are_handled_side_by_side => keys_side_by_side,
            a_failure_is_tried_again_and_holds_up_its_key_alone => failures,
            what_needs_a_part_that_is_down_waits_for_it => parts_that_are_down,
            poison_goes_to_the_dead_letters_and_comes_back_when_asked => dead_letters,
            groups_are_apart_and_repeats_are_passed_over_or_come_behind => groups_and_repeats,
            a_restart_goes_on_where_it_was => restart,
            an_event_is_handled_again_after_a_crash => crash,
            stopping_lets_what_runs_end => stopping,
            a_slow_consumer_holds_up_nobody => slow_consumers,
        }
    };
}
pub(crate) use promises;

/// A log under test. Its bus gives an event up after three failures, and its pauses are short.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    /// Whether the log itself passes over an event whose id it has. Kafka does not: there a repeat
    /// comes again, behind the first, and a consumer's inbox passes it over.
    const PASSES_REPEATS: bool;

    /// The bus on this log's state, as after a restart.
    fn open(&self, tasks: &Tasks) -> impl Future<Output = Bus>;

    /// Has events reach the log of `bus`.
    async fn publish(&self, bus: &Bus, events: &[Envelope]) {
        bus.publish(events).await.unwrap();
    }
}

const TOPICS: [&str; 2] = [BOOKING_EVENTS, PAYMENT_EVENTS];
const GROUP: &str = "readers";

/// What a group was handed, as `key:number`, and how often it had been tried.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<(String, u32)>>>);

impl Seen {
    pub(crate) fn note(&self, delivery: &Delivery) -> String {
        let name = name(delivery);
        self.0.lock().unwrap().push((name.clone(), delivery.attempts));
        name
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    fn of(&self, key: &str) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.starts_with(&format!("{key}:")));
        names
    }

    /// What was handed over of a key, without repeats.
    pub(crate) fn firsts(&self, key: &str) -> Vec<String> {
        let mut firsts = Vec::new();
        for name in self.of(key) {
            if !firsts.contains(&name) {
                firsts.push(name);
            }
        }
        firsts
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// One life of a process.
struct Life<'s, S> {
    subject: &'s S,
    bus: Bus,
    tasks: Tasks,
    metrics: Metrics,
}

impl<'s, S: Subject> Life<'s, S> {
    async fn begin(subject: &'s S) -> Self {
        let tasks = Tasks::new();
        Self { subject, bus: subject.open(&tasks).await, tasks, metrics: Metrics::new() }
    }

    fn consume(&self, group: &'static str, handler: Handler) {
        self.bus.consume((group, Urgency::Soon), &TOPICS, handler, &self.metrics, &self.tasks);
    }

    async fn publish(&self, events: &[(&str, u32)]) {
        let events: Vec<Envelope> = events.iter().map(|(key, n)| event(key, *n)).collect();
        self.publish_all(&events).await;
    }

    async fn publish_all(&self, events: &[Envelope]) {
        self.subject.publish(&self.bus, events).await;
    }

    async fn lag(&self) -> u64 {
        self.bus.lag(GROUP, &TOPICS).await.unwrap()
    }

    async fn no_lag(&self) {
        let lag = async || self.bus.lag(GROUP, &TOPICS).await;
        until("the group has caught up", async || lag().await.is_ok_and(|lag| lag == 0)).await;
    }

    async fn end(self) {
        assert_eq!(self.tasks.stop(Duration::from_secs(10)).await, 0);
    }
}

pub(crate) async fn order(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let events: Vec<(String, u32)> =
        (0..40_u32).flat_map(|n| (0..10).map(move |key| (format!("k{key}"), n))).collect();
    let events: Vec<(&str, u32)> = events.iter().map(|(key, n)| (&**key, *n)).collect();
    life.publish(&events[..200]).await;
    assert_eq!(life.lag().await, 200, "a group that never ran lags by all of it");
    let (seen, busy) = (Seen::default(), Arc::new(Mutex::new(Vec::<Arc<str>>::new())));
    let overlaps = Arc::new(AtomicBool::new(false));
    let handler = {
        let (seen, overlaps) = (seen.clone(), overlaps.clone());
        handler(move |delivery| {
            let (seen, busy, overlaps) = (seen.clone(), busy.clone(), overlaps.clone());
            async move {
                seen.note(&delivery);
                let was_busy = {
                    let mut busy = busy.lock().unwrap();
                    busy.push(delivery.key.clone());
                    busy.iter().filter(|key| **key == delivery.key).count() > 1
                };
                overlaps.fetch_or(was_busy, Ordering::SeqCst);
                tokio::task::yield_now().await;
                busy.lock().unwrap().retain(|key| *key != delivery.key);
                Ok(())
            }
        })
    };
    life.consume(GROUP, handler);
    life.publish(&events[200..]).await;
    life.no_lag().await;
    assert_eq!(seen.count(), 400, "each once, where nothing fails");
    for key in 0..10 {
        let expected: Vec<_> = (0..40).map(|n| format!("k{key}:{n}")).collect();
        assert_eq!(seen.of(&format!("k{key}")), expected);
    }
    assert!(!overlaps.load(Ordering::SeqCst), "two events of one key at once");
    let text = life.metrics.encode();
    assert!(text.contains("bus_consumed_total{group=\"readers\"} 400"), "{text}");
    life.end().await;
}

pub(crate) async fn keys_side_by_side(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let meeting = Arc::new(tokio::sync::Barrier::new(8));
    // Ends only if eight keys are handled at the same time.
    life.consume(
        GROUP,
        handler(move |_| {
            let meeting = meeting.clone();
            async move {
                meeting.wait().await;
                Ok(())
            }
        }),
    );
    let keys: Vec<String> = (0..8).map(|key| key.to_string()).collect();
    let events: Vec<(&str, u32)> = keys.iter().map(|key| (&**key, 0)).collect();
    life.publish(&events).await;
    life.no_lag().await;
    life.end().await;
}

pub(crate) async fn failures(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let seen = Seen::default();
    let noted = seen.clone();
    // Of key a, event 1 heals at its third try; of key p, event 1 panics at its first.
    life.consume(
        GROUP,
        handler(move |delivery| {
            let noted = noted.clone();
            async move {
                let name = noted.note(&delivery);
                assert!(name != "p:1" || delivery.attempts > 0, "a fault of the handler");
                match (&*name, delivery.attempts) {
                    ("a:1", 0..2) => Err(Failure::internal("not yet")),
                    _ => Ok(()),
                }
            }
        }),
    );
    life.publish(&[("a", 1), ("p", 1), ("a", 2), ("b", 1), ("a", 3), ("p", 2)]).await;
    life.no_lag().await;
    assert_eq!(seen.of("a"), ["a:1", "a:1", "a:1", "a:2", "a:3"], "those behind it wait");
    assert_eq!(seen.of("p"), ["p:1", "p:1", "p:2"]);
    assert_eq!(seen.of("b"), ["b:1"]);
    assert!(life.bus.dead_letters(GROUP, 9).await.unwrap().is_empty());
    let text = life.metrics.encode();
    assert!(text.contains("bus_failed_total{group=\"readers\"} 3"), "{text}");
    life.end().await;
}

pub(crate) async fn parts_that_are_down(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let (seen, is_up) = (Seen::default(), Arc::new(AtomicBool::new(false)));
    let (noted, up) = (seen.clone(), is_up.clone());
    life.consume(
        GROUP,
        handler(move |delivery| {
            let (noted, up) = (noted.clone(), up.clone());
            async move {
                let name = noted.note(&delivery);
                match name.starts_with('a') && !up.load(Ordering::SeqCst) {
                    true => Err(Failure::unavailable("down")),
                    false => Ok(()),
                }
            }
        }),
    );
    life.publish(&[("a", 1), ("a", 2), ("b", 1)]).await;
    until("it was tried often", async || seen.of("a").len() > 6).await;
    life.publish(&[("b", 2)]).await;
    until("others go on", async || seen.of("b").len() == 2).await;
    until("only what waits lags", async || life.lag().await == 2).await;
    assert!(seen.of("a").iter().all(|name| name == "a:1"));
    is_up.store(true, Ordering::SeqCst);
    life.no_lag().await;
    assert_eq!(seen.of("a").last().unwrap(), "a:2");
    assert!(life.bus.dead_letters(GROUP, 9).await.unwrap().is_empty(), "never given up");
    life.end().await;
}

pub(crate) async fn dead_letters(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let (seen, is_mended) = (Seen::default(), Arc::new(AtomicBool::new(false)));
    let (noted, mended) = (seen.clone(), is_mended.clone());
    life.consume(
        GROUP,
        handler(move |delivery| {
            let (noted, mended) = (noted.clone(), mended.clone());
            async move {
                let name = noted.note(&delivery);
                match &*name {
                    _ if mended.load(Ordering::SeqCst) => Ok(()),
                    "a:1" => Err(Failure::invalid("content", "nonsense")),
                    "b:1" => Err(Failure::internal("broken")),
                    _ => Ok(()),
                }
            }
        }),
    );
    // Keys of two partitions are read in any order, so that the second comes after the first's end.
    life.publish(&[("a", 1), ("a", 2)]).await;
    until("it is given up", async || !life.bus.dead_letters(GROUP, 9).await.unwrap().is_empty())
        .await;
    life.publish(&[("b", 1), ("b", 2)]).await;
    life.no_lag().await;
    assert_eq!(seen.of("a"), ["a:1", "a:2"], "what can't heal is tried once");
    assert_eq!(seen.of("b"), ["b:1", "b:1", "b:1", "b:2"], "the rest three times");
    let letters = life.bus.dead_letters(GROUP, 9).await.unwrap();
    let found: Vec<_> = letters.iter().map(|l| (name(&l.delivery), l.delivery.attempts)).collect();
    assert_eq!(found, [("a:1".to_owned(), 1), ("b:1".to_owned(), 3)]);
    assert!(letters[0].error.contains("nonsense") && letters[1].error.contains("broken"));
    assert_eq!(letters[0].group, GROUP);
    assert_eq!(life.bus.dead_letters(GROUP, 1).await.unwrap().len(), 1);
    assert!(life.bus.dead_letters("others", 9).await.unwrap().is_empty());
    let text = life.metrics.encode();
    assert!(text.contains("bus_dead_lettered_total{group=\"readers\"} 2"), "{text}");
    // Handed over again, it fails again, and is a dead letter again.
    assert!(life.bus.replay(letters[0].number).await.unwrap());
    until("it is back", async || life.bus.dead_letters(GROUP, 9).await.unwrap().len() == 2).await;
    assert_eq!(seen.of("a"), ["a:1", "a:2", "a:1"]);
    is_mended.store(true, Ordering::SeqCst);
    for letter in life.bus.dead_letters(GROUP, 9).await.unwrap() {
        assert!(life.bus.replay(letter.number).await.unwrap());
        assert!(!life.bus.replay(letter.number).await.unwrap(), "once");
    }
    life.no_lag().await;
    assert_eq!((seen.of("a").len(), seen.of("b").len()), (4, 5));
    assert!(life.bus.dead_letters(GROUP, 9).await.unwrap().is_empty());
    life.end().await;
}

pub(crate) async fn groups_and_repeats<S: Subject>(subject: &S) {
    let life = Life::begin(subject).await;
    let [one, two] = [Seen::default(), Seen::default()];
    life.consume(GROUP, noting(&one));
    let events =
        [event("a", 1), event("a", 2), Envelope { topic: PAYMENT_EVENTS.into(), ..event("b", 1) }];
    life.publish_all(&events).await;
    // The relay may repeat itself, also within one call and across topics.
    life.publish_all(&events[1..]).await;
    life.publish_all(&[event("a", 3), events[0].clone(), event("a", 3)]).await;
    life.publish_all(&[]).await;
    life.no_lag().await;
    let count = if S::PASSES_REPEATS { 4 } else { 8 };
    assert_eq!(one.count(), count);
    assert_eq!((one.firsts("a"), one.firsts("b")), (names("a", 1..=3), names("b", 1..=1)));
    // A new group begins at the beginning; nobody waits for the other.
    life.consume("latecomers", noting(&two));
    until("it has all", async || two.count() == count).await;
    assert_eq!((two.firsts("a"), one.count()), (names("a", 1..=3), count));
    // Facts on other topics are not theirs.
    let other = Envelope { topic: crate::bus::CATALOG_EVENTS.into(), ..event("c", 1) };
    life.publish_all(&[other, event("a", 4)]).await;
    until("both have it", async || [one.count(), two.count()] == [count + 1; 2]).await;
    assert_eq!((one.of("c").len(), two.of("c").len()), (0, 0));
    life.end().await;
}

pub(crate) async fn restart(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let seen = Seen::default();
    let noted = seen.clone();
    life.consume(
        GROUP,
        handler(move |delivery| {
            let noted = noted.clone();
            async move {
                match &*delivery.key {
                    "down" => Err(Failure::unavailable("down")),
                    _ => {
                        noted.note(&delivery);
                        Ok(())
                    }
                }
            }
        }),
    );
    life.publish(&[("down", 1), ("a", 1), ("down", 2), ("a", 2)]).await;
    until("it is handled", async || seen.count() == 2).await;
    life.end().await;

    let life = Life::begin(subject).await;
    life.publish(&[("a", 3), ("down", 3)]).await;
    let seen = Seen::default();
    life.consume(GROUP, noting(&seen));
    life.no_lag().await;
    assert_eq!(seen.of("a"), ["a:3"], "goes on where it was");
    assert_eq!(seen.of("down"), names("down", 1..=3), "in order, though it was overtaken");
    let tries = seen.0.lock().unwrap().clone();
    let first = tries.iter().find(|(name, _)| name == "down:1");
    assert!(first.is_some_and(|(_, tries)| *tries > 0), "tries are counted across a restart");
    life.end().await;
}

/// The process dies while a handler is at work: the event is handled again, by the next life.
pub(crate) async fn crash(subject: &impl Subject) {
    let first = Seen::default();
    let (dying, noted) = (subject.clone(), first.clone());
    let died = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let life = Life::begin(&dying).await;
            let stuck = Arc::new(Semaphore::new(0));
            let seen = noted.clone();
            life.consume(
                GROUP,
                handler(move |delivery| {
                    let (seen, stuck) = (seen.clone(), stuck.clone());
                    async move {
                        if seen.note(&delivery) == "a:2" {
                            let _ = stuck.acquire().await;
                        }
                        Ok(())
                    }
                }),
            );
            life.publish(&[("a", 1), ("a", 2), ("a", 3), ("b", 1)]).await;
            until("it is at work", async || noted.count() == 3).await;
        });
        runtime.shutdown_background();
    });
    died.await.unwrap();
    assert!(!first.names().contains(&"a:3".to_owned()));

    let life = Life::begin(subject).await;
    let seen = Seen::default();
    life.consume(GROUP, noting(&seen));
    life.no_lag().await;
    assert!(seen.of("a").ends_with(&names("a", 2..=3)), "{:?}", seen.names());
    let mut all = [first.names(), seen.names()].concat();
    all.sort();
    all.dedup();
    assert_eq!(all, ["a:1", "a:2", "a:3", "b:1"]);
    life.end().await;
}

/// Stopping waits for the events that are being handled, begins no others, and forgets none.
pub(crate) async fn stopping(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let (noted, closed) = (seen.clone(), gate.clone());
    life.consume(
        GROUP,
        handler(move |delivery| {
            let (noted, closed) = (noted.clone(), closed.clone());
            async move {
                noted.note(&delivery);
                let _ = closed.acquire().await;
                Ok(())
            }
        }),
    );
    life.publish(&[("a", 1), ("a", 2)]).await;
    until("it is at work", async || seen.count() == 1).await;
    let stopping = life.tasks.stopping();
    let open = async {
        stopping.cancelled().await;
        gate.add_permits(9);
    };
    tokio::join!(life.end(), open);
    assert_eq!(seen.names(), ["a:1"]);

    let life = Life::begin(subject).await;
    assert_eq!(life.lag().await, 1);
    let seen = Seen::default();
    life.consume(GROUP, noting(&seen));
    life.no_lag().await;
    assert_eq!(seen.names(), ["a:2"]);
    life.end().await;
}

/// A consumer that is slow holds nobody up but itself.
pub(crate) async fn slow_consumers(subject: &impl Subject) {
    let life = Life::begin(subject).await;
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Seen::default());
    let (closed, begun) = (gate.clone(), Arc::new(AtomicU32::new(0)));
    life.consume(
        GROUP,
        handler(move |_| {
            let (closed, begun) = (closed.clone(), begun.clone());
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = closed.acquire().await.map(tokio::sync::SemaphorePermit::forget);
                Ok(())
            }
        }),
    );
    life.consume("quick", noting(&seen));
    for batch in 0..50 {
        let keys: Vec<String> = (0..100).map(|key| format!("{batch}-{key}")).collect();
        let events: Vec<(&str, u32)> = keys.iter().map(|key| (&**key, 0)).collect();
        life.publish(&events).await;
    }
    until("the quick one has all", async || seen.count() == 5_000).await;
    assert_eq!(life.lag().await, 5_000);
    gate.add_permits(5_000);
    life.no_lag().await;
    life.end().await;
}

pub(crate) fn handler<F, Fut>(handle: F) -> Handler
where
    F: Fn(Delivery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Arc::new(move |delivery| Box::pin(handle(delivery)))
}

fn noting(seen: &Seen) -> Handler {
    let seen = seen.clone();
    handler(move |delivery| {
        seen.note(&delivery);
        std::future::ready(Ok(()))
    })
}

/// Event `number` of `key`; the same one gets the same id.
pub(crate) fn event(key: &str, number: u32) -> Envelope {
    let hash =
        key.bytes().fold(7_u128, |hash, byte| hash.wrapping_mul(1_099_511) + u128::from(byte));
    Envelope {
        id: MessageId::from_uuid(uuid::Uuid::from_u128((hash << 32) + u128::from(number))),
        topic: BOOKING_EVENTS.into(),
        key: key.to_owned(),
        kind: "booking.opened".into(),
        source: "booking".into(),
        at: Timestamp::from_seconds(1_700_000_000),
        correlation_id: "c".into(),
        content: format!("{{\"number\":{number}}}").into(),
    }
}

fn name(delivery: &Delivery) -> String {
    format!("{}:{}", delivery.key, number(delivery))
}

/// Which event of its key it is.
pub(crate) fn number(delivery: &Delivery) -> u64 {
    delivery.read::<serde_json::Value>().unwrap()["number"].as_u64().unwrap()
}

fn names(key: &str, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("{key}:{number}")).collect()
}

pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < patience, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
