//! Requests that meet: own results, order, poison, limits, callers that go, a database that closes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use db::{Coalescer, CoalescerSettings, Db, Engine, Error, Tx};
use futures_util::future::{join_all, poll_fn};
use tokio::task::JoinSet;

use crate::engines::databases;
use crate::transactions::{TABLES, count};

const SETTINGS: CoalescerSettings =
    CoalescerSettings { max_batch: 64, max_waiting: 1_000, lanes: 1 };
/// The amount that the schema refuses, so that the whole transaction fails.
const POISON: i64 = -1;
/// The amount at which the batch function panics.
const CRASH: i64 = -2;
/// The amount that is refused without harm to the transaction.
const UNWANTED: i64 = 0;

/// Counts up a counter and writes an entry; the result is the number drawn.
#[derive(Clone, Copy)]
struct Request {
    id: i64,
    amount: i64,
}

type Drawing = Coalescer<Request, i64, Error>;

fn drawing(db: &Db, settings: CoalescerSettings) -> (Arc<Drawing>, Arc<AtomicU64>) {
    let batches = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&batches);
    let drawing = Coalescer::new(db.clone(), settings, move |tx, requests: &[Request]| {
        counter.fetch_add(1, Ordering::SeqCst);
        Box::pin(draw(tx, requests))
    });
    (Arc::new(drawing), batches)
}

async fn draw(tx: &mut Tx, requests: &[Request]) -> Result<Vec<Result<i64, Error>>, Error> {
    let mut results = Vec::new();
    for request in requests {
        assert!(request.amount != CRASH, "as the test wants");
        if request.amount == UNWANTED {
            results.push(Err(Error::Timeout));
            continue;
        }
        let sql = "insert into entries (id, amount) values ($1, $2)";
        tx.execute(sql, &[request.id.into(), request.amount.into()]).await?;
        let sql = "update counters set n = n + 1 where id = 1 returning n";
        results.push(tx.query_one(sql, &[]).await?.get(0));
    }
    Ok(results)
}

#[tokio::test]
async fn each_caller_gets_its_own_result_in_order_and_few_commits_serve_many() {
    for test in databases(&[&TABLES]).await {
        let (drawing, batches) = drawing(&test.db, SETTINGS);
        // Polled in this order, so they arrive in this order.
        let calls = (0..300).map(|id| drawing.call(Request { id, amount: id % 3 }));
        let results = join_all(calls).await;
        let mut expected = 0;
        for (id, result) in results.into_iter().enumerate() {
            match result {
                Err(Error::Timeout) => assert_eq!(id % 3, 0, "{}", test.engine()),
                Ok(number) => {
                    expected += 1;
                    assert_eq!(number, expected, "{}: first come, first served", test.engine());
                }
                Err(error) => panic!("{}: {error}", test.engine()),
            }
        }
        assert_eq!(expected, 200);
        let batches = batches.load(Ordering::SeqCst);
        assert!(batches <= 7, "{}: {batches} batches for 300 requests", test.engine());
        assert_eq!(count(&test.db, "select count(*) from entries").await, 200);
    }
}

#[tokio::test]
async fn a_poisoned_request_fails_alone() {
    for test in databases(&[&TABLES]).await {
        let (drawing, _) = drawing(&test.db, SETTINGS);
        let calls = (0..60).map(|id| {
            let amount = match id {
                20 => POISON,
                40 => CRASH,
                _ => 1,
            };
            drawing.call(Request { id, amount })
        });
        let engine = test.engine();
        let mut last = 0;
        for (id, result) in join_all(calls).await.into_iter().enumerate() {
            match (id, result) {
                (20, Err(Error::Constraint(_))) => {}
                (40, Err(Error::Statement(text))) => assert!(text.contains("panicked"), "{text}"),
                (_, Ok(number)) => {
                    assert_eq!(number, last + 1, "{engine}: {id} keeps its place");
                    last = number;
                }
                (id, result) => panic!("{engine}: {id} got {result:?}"),
            }
        }
        assert_eq!(last, 58, "{engine}");
        assert_eq!(count(&test.db, "select n from counters where id = 1").await, 58, "{engine}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_lanes_decide_each_request_once() {
    for test in databases(&[&TABLES]).await {
        let settings = CoalescerSettings { lanes: 3, max_batch: 16, ..SETTINGS };
        let (drawing, _) = drawing(&test.db, settings);
        let mut calls = JoinSet::new();
        for id in 0..400 {
            let drawing = Arc::clone(&drawing);
            calls.spawn(async move { drawing.call(Request { id, amount: 1 }).await });
        }
        let results = calls.join_all().await.into_iter();
        let mut numbers: Vec<i64> = results.map(|result| result.expect("drawn")).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=400), "{}", test.engine());
    }
}

/// The most batches under way at once while 400 requests are decided, at most `max_batch` in each.
async fn most_at_once(db: &Db, max_batch: usize) -> u64 {
    let settings = CoalescerSettings { lanes: 3, max_batch, ..SETTINGS };
    let (running, most) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let seen = Arc::clone(&most);
    let drawing = Coalescer::new(db.clone(), settings, move |tx, requests: &[Request]| {
        let (running, seen) = (Arc::clone(&running), Arc::clone(&seen));
        Box::pin(async move {
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let results = draw(tx, requests).await;
            running.fetch_sub(1, Ordering::SeqCst);
            results
        })
    });
    let calls = (0..400).map(|id| drawing.call(Request { id, amount: 1 }));
    join_all(calls).await.into_iter().for_each(|result| assert!(result.is_ok(), "{result:?}"));
    most.load(Ordering::SeqCst)
}

#[tokio::test]
async fn in_a_rush_one_lane_of_postgres_decides_all() {
    for test in databases(&[&TABLES]).await {
        if test.db.engine() == Engine::Postgres {
            assert_eq!(most_at_once(&test.db, 16).await, 1);
            let empty = test.db.write::<_, Error, _>(|tx| {
                Box::pin(async move { tx.execute("delete from entries", &[]).await })
            });
            assert_eq!(empty.await.expect("deleted"), 400);
            assert!(most_at_once(&test.db, 4).await > 1, "small batches go beside each other");
        }
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_callers_that_go_are_served_all_the_same() {
    for test in databases(&[&TABLES]).await {
        let engine = test.engine();
        let settings = CoalescerSettings { max_waiting: 5, ..SETTINGS };
        let (drawing, _) = drawing(&test.db, settings);
        // Nothing is decided before this task waits for something, so the queue holds what is
        // polled once.
        let mut calls: Vec<_> =
            (0..8).map(|id| Box::pin(drawing.call(Request { id, amount: 1 }))).collect();
        let mut polled = Vec::new();
        poll_fn(|cx| {
            polled = calls.iter_mut().map(|call| call.as_mut().poll(cx)).collect();
            Poll::Ready(())
        })
        .await;
        let refused = |poll: &Poll<_>| matches!(poll, Poll::Ready(Err(Error::Overloaded(_))));
        assert!(polled[..5].iter().all(Poll::is_pending), "{engine}: {polled:?}");
        assert!(polled[5..].iter().all(refused), "{engine}: {polled:?}");

        drop(calls);
        let after = drawing.call(Request { id: 100, amount: 1 });
        // The queue is still full until the lane has run.
        while count(&test.db, "select count(*) from entries").await < 5 {}
        assert_eq!(after.await.expect("drawn"), 6, "{engine}: the five that went were decided");
    }
}

#[tokio::test]
async fn callers_who_wait_are_told_when_the_database_closes() {
    for test in databases(&[&TABLES]).await {
        let engine = test.engine();
        let settings = CoalescerSettings { max_batch: 2, ..SETTINGS };
        let (drawing, _) = drawing(&test.db, settings);
        let calls = join_all((0..200).map(|id| drawing.call(Request { id, amount: 1 })));
        let (results, ()) = tokio::join!(calls, test.db.close());
        let told = |result: &&Result<_, _>| matches!(result, Err(Error::Unavailable(_)));
        let closed = results.iter().filter(told).count();
        let drawn = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(closed + drawn, 200, "{engine}: everyone is answered");
        assert!(closed > 0, "{engine}: {drawn} were drawn");
        let late = drawing.call(Request { id: 999, amount: 1 }).await;
        assert!(matches!(late, Err(Error::Unavailable(_))), "{engine}: {late:?}");
        let other = test.open_again().await;
        let kept = count(&other, "select count(*) from entries").await;
        assert_eq!(usize::try_from(kept).expect("positive"), drawn, "{engine}");
    }
}
