//! The key-value parts in this process keep their promises.

mod conformance;
mod redis;

use std::{sync::Arc, time::Duration};

use conformance::Subject;
use futures_util::future::join_all;
use testkit::{ManualClock, TestDb};

use super::{Kv, Settled};

/// A store on a database of its own, with a clock that is driven.
struct InProcess {
    database: TestDb,
    clock: Arc<ManualClock>,
}

impl InProcess {
    fn new(database: TestDb) -> Self {
        println!("on {}", database.engine());
        Self { database, clock: Arc::default() }
    }
}

impl Subject for InProcess {
    async fn open(&self) -> Kv {
        let db = self.database.open_again().await;
        Kv::memory(db, self.clock.clone()).await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
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
async fn what_could_not_be_stored_never_happened() {
    let subject = InProcess::new(testkit::sqlite(&[]).await);
    let db = subject.database.open_again().await;
    let kv = Kv::memory(db.clone(), subject.clock.clone()).await.unwrap();
    let queue = kv.queue();
    queue.join("l", "a", "", 9).await.unwrap();
    let block = |sql: &'static str| {
        let db = db.clone();
        async move {
            let done: Result<u64, db::Error> =
                db.write(move |tx| Box::pin(async move { tx.execute(sql, &[]).await })).await;
            done.unwrap()
        }
    };
    block("alter table kv_places rename to hidden").await;
    assert!(queue.join("l", "b", "", 9).await.is_err());
    assert_eq!(queue.place("l", "b").await.unwrap(), None);
    assert_eq!(queue.head("l").await.unwrap().last, 1);
    block("alter table hidden rename to kv_places").await;
    assert_eq!(queue.join("l", "c", "", 9).await.unwrap().0.number, 2);
    assert_eq!(queue.place("l", "b").await.unwrap(), None);
    assert_eq!(queue.head("l").await.unwrap().waiting, 2);
}

#[tokio::test]
async fn a_caller_that_leaves_neither_loses_nor_doubles_a_place() {
    let subject = InProcess::new(testkit::sqlite(&[]).await);
    let kv = subject.open().await;
    let queue = kv.queue();
    for round in 0..50_u32 {
        let joins = (0..8).map(|member| {
            let (queue, member) = (queue.clone(), format!("{round}-{member}"));
            let patience = Duration::from_micros(u64::from(round) * 20);
            async move {
                let joining = queue.join("l", &member, "", u64::MAX);
                let _ = tokio::time::timeout(patience, joining).await;
            }
        });
        join_all(joins).await;
    }
    queue.join("l", "last", "", u64::MAX).await.unwrap();
    let head = queue.head("l").await.unwrap();
    assert_eq!(head.last, head.waiting, "numbers have no gaps");
    drop((kv, queue));
    let queue = subject.open().await.queue();
    assert_eq!(queue.head("l").await.unwrap(), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_seen_before_it_is_durable() {
    let subject = InProcess::new(testkit::sqlite(&[]).await);
    let db = subject.database.open_again().await;
    let kv = Kv::memory(db.clone(), subject.clock.clone()).await.unwrap();
    let queue = kv.queue();
    queue.join("l", "a", "", 9).await.unwrap();
    let joined_at = queue.claim("l", 1, Duration::from_secs(9)).await.unwrap()[0].joined_at;
    let until = joined_at.plus(Duration::from_secs(9));
    let outcome = "served".to_owned();
    let settled = Settled { number: 1, outcome, holds_until: until, kept_until: until };
    // Holds the database's writer until told to go on.
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let (began, begun) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new((began, wait));
    let holding = db.write(move |_| {
        let gate = gate.lock().unwrap();
        gate.0.send(()).unwrap();
        let _ = gate.1.recv();
        Box::pin(std::future::ready(Ok::<(), db::Error>(())))
    });
    let joining = async {
        tokio::task::block_in_place(|| begun.recv().unwrap());
        let mut joining = std::pin::pin!(queue.join("l", "b", "", 9));
        let early = tokio::time::timeout(Duration::from_millis(50), &mut joining).await;
        assert!(early.is_err(), "not answered before it is stored");
        assert_eq!(queue.place("l", "b").await.unwrap(), None);
        assert_eq!(queue.head("l").await.unwrap().last, 1);
        let mut settling = std::pin::pin!(queue.settle("l", vec![settled]));
        let early = tokio::time::timeout(Duration::from_millis(50), &mut settling).await;
        assert!(early.is_err(), "not answered before it is stored");
        let place = queue.place("l", "a").await.unwrap().unwrap();
        assert_eq!((place.claimed, place.outcome), (true, None));
        go_on.send(()).unwrap();
        assert_eq!(joining.await.unwrap().0.number, 2);
        assert_eq!(queue.head("l").await.unwrap().last, 2);
        assert_eq!(settling.await.unwrap(), [1]);
        let place = queue.place("l", "a").await.unwrap().unwrap();
        assert_eq!(place.outcome.as_deref(), Some("served"));
    };
    let (held, ()) = tokio::join!(holding, joining);
    held.unwrap();
}
