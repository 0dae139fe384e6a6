//! The outbox on both engines: no event lost, none told before it is true, order kept per key.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use db::{Db, Engine, Error};
use kernel::{Failure, MessageId, Timestamp};
use testkit::{SeededIds, TestDb};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{batch::batches, relay::Relay, *};
use crate::{
    MIGRATIONS,
    bus::{BOOKING_EVENTS, Urgency},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// `count` events over seven keys, each telling its position.
fn events(ids: &SeededIds, count: u32) -> Vec<Envelope> {
    let event = |position: u32| Envelope {
        id: MessageId::new(ids, NOW),
        topic: BOOKING_EVENTS.into(),
        key: format!("booking-{}", position % 7),
        kind: "booking.confirmed".into(),
        source: "booking".into(),
        at: NOW.plus(Duration::from_micros(position.into())),
        correlation_id: "request-1".into(),
        content: serde_json::json!({ "position": position, "name": "Zoë 🎭 \"x\"\n" })
            .to_string()
            .into(),
    };
    (0..count).map(event).collect()
}

async fn append(outbox: &Outbox, db: &Db, events: &[Envelope]) {
    let (own, events) = (outbox.clone(), events.to_vec());
    let written = db.write(move |tx| {
        let (own, events) = (own.clone(), events.clone());
        Box::pin(async move { own.append(tx, &events).await })
    });
    Result::<(), Error>::unwrap(written.await);
    outbox.wake();
}

async fn number(db: &Db, sql: &'static str) -> i64 {
    let read = db.read(move |tx| Box::pin(async move { tx.query_one(sql, &[]).await?.get(0) }));
    Result::<i64, Error>::unwrap(read.await)
}

async fn pending(db: &Db) -> i64 {
    number(db, "select count(*) from boxoffice_outbox").await
}

/// A bus, and what a consumer of it has got so far.
struct Log {
    bus: Bus,
    got: Arc<Mutex<Vec<crate::bus::Delivery>>>,
    count: watch::Receiver<usize>,
    tasks: Tasks,
    test: TestDb,
}

impl Log {
    async fn open() -> Self {
        let (test, tasks) = (testkit::sqlite(&[]).await, Tasks::new());
        let bus = Bus::memory(test.db.clone(), tasks.clone()).await.unwrap();
        let got: Arc<Mutex<Vec<crate::bus::Delivery>>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let (kept, counted) = (got.clone(), Arc::new(counted));
        let handler: crate::bus::Handler = Arc::new(move |delivery| {
            let mut kept = kept.lock().unwrap();
            kept.push(delivery);
            counted.send_replace(kept.len());
            Box::pin(async { Ok(()) })
        });
        bus.consume(("test", Urgency::Soon), &[BOOKING_EVENTS], handler, &Metrics::new(), &tasks);
        Self { bus, got, count, tasks, test }
    }

    /// Waits until everything has arrived, and checks that it came once and in order per key.
    async fn has_all(&mut self, expected: &[Envelope]) {
        let all = self.count.wait_for(|count| *count >= expected.len());
        tokio::time::timeout(Duration::from_secs(30), all).await.unwrap().unwrap();
        let by_key = |events: Vec<(String, MessageId)>| {
            let mut keys = BTreeMap::<_, Vec<_>>::new();
            events.into_iter().for_each(|(key, id)| keys.entry(key).or_default().push(id));
            keys
        };
        let got =
            self.got.lock().unwrap().iter().map(|got| (got.key.to_string(), got.id)).collect();
        let expected = expected.iter().map(|event| (event.key.clone(), event.id)).collect();
        assert_eq!(by_key(got), by_key(expected));
    }
}

#[tokio::test]
async fn events_are_told_when_they_are_true_in_order_and_as_they_were_written() {
    for test in testkit::databases(&[&MIGRATIONS]).await {
        let (mut log, outbox, ids) =
            (Log::open().await, Outbox::new(BOOKING_EVENTS), SeededIds::new(1));
        let (metrics, tasks) = (Metrics::new(), Tasks::new());
        let events = events(&ids, 1_203);
        let (own, untrue) = (outbox.clone(), events.clone());
        let rolled_back = test.db.write(move |tx| {
            let (own, untrue) = (own.clone(), untrue.clone());
            Box::pin(async move {
                own.append(tx, &untrue).await?;
                Err::<(), _>(Failure::internal("changed its mind"))
            })
        });
        rolled_back.await.unwrap_err();
        assert_eq!(pending(&test.db).await, 0);

        append(&outbox, &test.db, &[]).await;
        append(&outbox, &test.db, &events[..1_100]).await;
        outbox.relay(test.db.clone(), log.bus.clone(), &metrics, &tasks);
        for event in &events[1_100..] {
            append(&outbox, &test.db, std::slice::from_ref(event)).await;
        }
        log.has_all(&events).await;
        let first = log.got.lock().unwrap().iter().find(|got| got.id == events[0].id).cloned();
        let first = first.unwrap();
        let content: serde_json::Value = first.read().unwrap();
        assert_eq!((content.to_string(), first.at), (events[0].content.to_string(), events[0].at));
        assert_eq!((&*first.correlation_id, &*first.source), ("request-1", "booking"));

        assert_eq!(tasks.stop(Duration::from_secs(10)).await, 0, "{}", test.engine());
        // On SQLite the outbox is the log, and keeps them for a while.
        let kept = if test.db.engine() == Engine::Sqlite { 1_203 } else { 0 };
        assert_eq!(pending(&test.db).await, kept);
        let metrics = metrics.encode();
        // Those that were there before are not told of, but found.
        let relayed =
            test.db.engine() == Engine::Sqlite || metrics.contains("outbox_published_total 1203\n");
        assert!(relayed, "{metrics}");
        assert!(
            metrics.contains("outbox_pending 0\n") && metrics.contains("outbox_failures_total 0\n")
        );
        log.tasks.stop(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn a_crash_after_publishing_repeats_events_with_their_ids_and_loses_none() {
    for test in testkit::databases(&[&MIGRATIONS]).await {
        let (mut log, outbox) = (Log::open().await, Outbox::new(BOOKING_EVENTS));
        let events = events(&SeededIds::new(2), 30);
        append(&outbox, &test.db, &events).await;
        let bus = log.bus.clone();
        let relay = || Relay::new(test.db.clone(), bus.clone(), &Metrics::new());

        let crashing = relay();
        let published = crashing.next(Vec::new()).await.unwrap();
        log.bus.publish(&published.events).await.unwrap();
        let next = relay();
        if test.db.engine() == Engine::Postgres {
            assert!(next.next(Vec::new()).await.unwrap().events.is_empty(), "the lease holds");
            let expire = test.db.write(|tx| {
                const EXPIRE: &str = "update boxoffice_lease set expires_at = '-infinity'";
                Box::pin(async move { tx.execute(EXPIRE, &[]).await })
            });
            assert_eq!(Result::<u64, Error>::unwrap(expire.await), 1);
        }
        let again = next.next(Vec::new()).await.unwrap();
        assert_eq!(
            again.events, events,
            "what was published and not deleted comes again, the same"
        );
        next.drain(&CancellationToken::new()).await.unwrap();
        assert_eq!(pending(&test.db).await, 0);
        if test.db.engine() == Engine::Postgres {
            let leases = number(&test.db, "select count(*) from boxoffice_lease").await;
            assert_eq!(leases, 0, "an idle relay holds no lease");
        }
        log.has_all(&events).await;
        log.tasks.stop(Duration::from_secs(10)).await;

        // The twin: a relay that deletes first loses what it held when it crashed.
        append(&outbox, &test.db, &events).await;
        let crashing = relay();
        let held = crashing.next(Vec::new()).await.unwrap();
        crashing.next(held.sequences).await.unwrap();
        assert_eq!(pending(&test.db).await, 0, "nobody will ever tell these");
    }
}

#[tokio::test]
async fn while_the_log_is_down_events_wait() {
    for test in testkit::databases(&[&MIGRATIONS]).await {
        let (outbox, events) = (Outbox::new(BOOKING_EVENTS), events(&SeededIds::new(3), 5));
        append(&outbox, &test.db, &events).await;
        let (mut up, down) = (Log::open().await, Log::open().await);
        down.test.db.close().await;
        let metrics = Metrics::new();
        let mut relay = Relay::new(test.db.clone(), down.bus.clone(), &metrics);
        for _ in 0..3 {
            relay.drain(&CancellationToken::new()).await.unwrap_err();
        }
        assert_eq!(pending(&test.db).await, 5);
        assert!(metrics.encode().contains("outbox_failures_total 3\n"));
        relay.bus = up.bus.clone();
        relay.drain(&CancellationToken::new()).await.unwrap();
        up.has_all(&events).await;
        up.tasks.stop(Duration::from_secs(10)).await;
        down.tasks.stop(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn what_was_written_before_somebody_followed_is_told_and_what_was_undone_leaves_no_gap() {
    let test = testkit::sqlite(&[&MIGRATIONS]).await;
    let (mut log, outbox) = (Log::open().await, Outbox::new(BOOKING_EVENTS));
    let events = events(&SeededIds::new(5), 20);
    append(&outbox, &test.db, &events[..10]).await;
    // A write that fails after its events, in one commit with its neighbours.
    let (own, untrue) = (outbox.clone(), events[10..].to_vec());
    let undone = test.db.write(move |tx| {
        let (own, untrue) = (own.clone(), untrue.clone());
        Box::pin(async move {
            own.append(tx, &untrue).await?;
            Err::<(), _>(Failure::internal("changed its mind"))
        })
    });
    let (undone, ()) = tokio::join!(undone, append(&outbox, &test.db, &events[10..11]));
    undone.unwrap_err();
    let (tasks, metrics) = (Tasks::new(), Metrics::new());
    outbox.relay(test.db.clone(), log.bus.clone(), &metrics, &tasks);
    log.has_all(&events[..11]).await;
    append(&outbox, &test.db, &events[11..]).await;
    log.has_all(&events).await;
    assert_eq!(follow::ends(&test.db).await.unwrap(), (1, 20), "numbers without gaps");
    assert_eq!(log.bus.lag("late", &[BOOKING_EVENTS]).await.unwrap(), 20);
    tasks.stop(Duration::from_secs(10)).await;
    log.tasks.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn an_outbox_tells_of_one_topic_only() {
    for test in testkit::databases(&[&MIGRATIONS]).await {
        let (outbox, events) =
            (Outbox::new(crate::bus::TICKET_EVENTS), events(&SeededIds::new(6), 1));
        let written = test.db.write(move |tx| {
            let (own, events) = (outbox.clone(), events.clone());
            Box::pin(async move { own.append(tx, &events).await })
        });
        let error = Result::<(), Error>::unwrap_err(written.await);
        assert!(error.to_string().contains("booking-events"), "{error}");
        assert_eq!(pending(&test.db).await, 0);
    }
}

#[tokio::test]
async fn replicas_that_relay_at_once_lose_and_reorder_nothing() {
    let test = testkit::postgres(&[&MIGRATIONS]).await;
    let mut log = Log::open().await;
    let (tasks, events) = (Tasks::new(), events(&SeededIds::new(4), 400));
    let replicas =
        [Outbox::new(BOOKING_EVENTS), Outbox::new(BOOKING_EVENTS), Outbox::new(BOOKING_EVENTS)];
    for outbox in &replicas {
        outbox.relay(test.open_again().await, log.bus.clone(), &Metrics::new(), &tasks);
    }
    for (event, outbox) in events.iter().zip(replicas.iter().cycle()) {
        append(outbox, &test.db, std::slice::from_ref(event)).await;
    }
    log.has_all(&events).await;
    assert_eq!(tasks.stop(Duration::from_secs(10)).await, 0);
    assert_eq!(pending(&test.db).await, 0);
    log.tasks.stop(Duration::from_secs(10)).await;
}

#[test]
fn a_row_has_as_many_events_as_fit_and_a_long_one_has_its_own() {
    let mut events = events(&SeededIds::new(7), 100);
    events[50].content = format!("\"{}\"", "x".repeat(20_000)).into();
    let batches = batches(&events).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.count).sum::<i64>(), 100);
    let long: Vec<_> = batches.iter().filter(|batch| batch.events.len() > 7_000).collect();
    assert!(matches!(long[..], [batch::Batch { count: 1, .. }]), "{long:?}");
    assert!((3..12).contains(&batches.len()), "{} rows", batches.len());
    for batch in &batches {
        let read: Vec<serde_json::Value> = serde_json::from_str(&batch.events).unwrap();
        assert_eq!(i64::try_from(read.len()).unwrap(), batch.count);
    }
    assert!(super::batch::batches(&[]).unwrap().is_empty());
}

/// What an older version has written is told by this one, and numbers go on.
#[tokio::test]
async fn an_outbox_with_a_row_an_event_becomes_one_with_a_row_a_batch() {
    const OLDER: db::Migrations = db::Migrations {
        postgres: MIGRATIONS.postgres.split_at(1).0,
        sqlite: MIGRATIONS.sqlite.split_at(1).0,
        ..MIGRATIONS
    };
    for test in testkit::databases(&[&OLDER]).await {
        let events = events(&SeededIds::new(8), 13);
        let old = events[..10].to_vec();
        let written = test.db.write(move |tx| {
            let old = old.clone();
            Box::pin(async move {
                for event in &old {
                    let row = [
                        event.id.into(),
                        event.topic.as_ref().into(),
                        event.key.as_str().into(),
                        event.kind.as_ref().into(),
                        event.source.as_ref().into(),
                        event.at.into(),
                        event.correlation_id.as_ref().into(),
                        event.content.as_ref().into(),
                    ];
                    let insert = "insert into boxoffice_outbox
                        (id, topic, key, kind, source, at, correlation_id, content)
                        values ($1, $2, $3, $4, $5, $6, $7, $8)";
                    tx.execute(insert, &row).await?;
                }
                tx.execute("delete from boxoffice_outbox where seq <= 3", &[]).await
            })
        });
        assert_eq!(Result::<u64, Error>::unwrap(written.await), 3);
        test.db.migrate(&[&MIGRATIONS]).await.unwrap();
        let outbox = Outbox::new(BOOKING_EVENTS);
        append(&outbox, &test.db, &events[10..]).await;
        assert_eq!(pending(&test.db).await, 10);
        let log = Log::open().await;
        let relay = Relay::new(test.db.clone(), log.bus.clone(), &Metrics::new());
        let found = relay.next(Vec::new()).await.unwrap().events;
        let parsed = |event: &Envelope| {
            let content: serde_json::Value = serde_json::from_str(&event.content).unwrap();
            (event.id, event.key.clone(), event.at, content)
        };
        let expected: Vec<_> = events[3..].iter().map(parsed).collect();
        assert_eq!(found.iter().map(parsed).collect::<Vec<_>>(), expected);
        if test.db.engine() == Engine::Sqlite {
            assert_eq!(follow::ends(&test.db).await.unwrap(), (4, 13), "numbers go on");
        }
        log.tasks.stop(Duration::from_secs(10)).await;
    }
}

/// Who looks into the database sees the events one by one.
#[tokio::test]
async fn the_view_shows_the_events() {
    for test in testkit::databases(&[&MIGRATIONS]).await {
        let (outbox, events) = (Outbox::new(BOOKING_EVENTS), events(&SeededIds::new(9), 40));
        append(&outbox, &test.db, &events[..1]).await;
        append(&outbox, &test.db, &events[1..]).await;
        let read = test.db.read(|tx| {
            let all = "select id, topic, key, kind, source, at, correlation_id, content, seq
                       from boxoffice_outbox order by seq";
            Box::pin(async move { tx.query(all, &[]).await })
        });
        let rows = Result::<_, Error>::unwrap(read.await);
        assert_eq!(rows.len(), 40);
        for (event, row) in events.iter().zip(&rows) {
            assert_eq!(row.get::<MessageId>(0).unwrap(), event.id);
            assert_eq!(row.get::<String>(1).unwrap(), event.topic);
            assert_eq!(row.get::<String>(2).unwrap(), event.key);
            assert_eq!(row.get::<String>(3).unwrap(), event.kind);
            assert_eq!(row.get::<String>(4).unwrap(), event.source);
            assert_eq!(row.get::<Timestamp>(5).unwrap(), event.at);
            assert_eq!(*row.get::<String>(6).unwrap(), *event.correlation_id);
            let content: serde_json::Value =
                serde_json::from_str(&row.get::<String>(7).unwrap()).unwrap();
            assert_eq!(content, serde_json::from_str::<serde_json::Value>(&event.content).unwrap());
        }
        let numbers: Vec<i64> = rows.iter().map(|row| row.get(8).unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
