//! A PostgreSQL that goes away: callers are told soon, nothing acknowledged is lost, and the same
//! pool works again once the server is back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use db::{Db, Error, Settings};
use infra::{Postgres, PostgresOptions};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::transactions::{TABLES, count};

const INSERT: &str = "insert into entries (id, amount) values ($1, $1)";
const IDS: &str = "select id from entries";

async fn start() -> Postgres {
    let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
    let started = tokio::task::spawn_blocking(move || Postgres::start(&options)).await.unwrap();
    started.unwrap_or_else(|failure| panic!("{failure}"))
}

async fn write(db: &Db, id: i64) -> Result<(), Error> {
    let write = db
        .write(move |tx| Box::pin(async move { tx.execute(INSERT, &[id.into()]).await.map(drop) }));
    write.await
}

/// Writes one row after another, and tells which were acknowledged and how long the slowest took.
async fn load(db: Db, next: Arc<AtomicI64>, done: Arc<AtomicBool>) -> (Vec<i64>, Duration) {
    let (mut acknowledged, mut slowest) = (Vec::new(), Duration::ZERO);
    while !done.load(Ordering::SeqCst) {
        let (id, start) = (next.fetch_add(1, Ordering::SeqCst), Instant::now());
        match write(&db, id).await {
            Ok(()) => acknowledged.push(id),
            Err(Error::Unavailable(_)) => sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
        slowest = slowest.max(start.elapsed());
    }
    (acknowledged, slowest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_under_load_loses_nothing_and_is_used_again() {
    let server = start().await;
    let db = Db::open(&Settings::new(server.url())).await.unwrap();
    db.migrate(&[&TABLES]).await.unwrap();
    let (next, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    for _ in 0..12 {
        writers.spawn(load(db.clone(), Arc::clone(&next), Arc::clone(&done)));
    }
    for kill in [true, false] {
        sleep(Duration::from_millis(200)).await;
        if kill {
            server.kill().unwrap();
        } else {
            server.stop().unwrap();
        }
        let told = Instant::now();
        let refused = write(&db, -1).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
        server.start_again().unwrap();
        let before = db.stats().commits;
        let back = Instant::now();
        while db.stats().commits < before + 12 {
            assert!(back.elapsed() < Duration::from_secs(5), "{:?}", db.stats());
            sleep(Duration::from_millis(5)).await;
        }
    }
    done.store(true, Ordering::SeqCst);
    let results = writers.join_all().await;
    let rows = db.read::<_, Error, _>(|tx| Box::pin(tx.query(IDS, &[]))).await.unwrap();
    let kept: BTreeSet<i64> = rows.iter().map(|row| row.get(0).unwrap()).collect();
    for (acknowledged, slowest) in results {
        assert!(!acknowledged.is_empty());
        assert!(acknowledged.iter().all(|id| kept.contains(id)), "an acknowledged write is gone");
        assert!(slowest < Duration::from_secs(10), "{slowest:?}: somebody hung");
    }
}

#[tokio::test]
async fn a_server_that_no_longer_answers_is_given_up() {
    let server = start().await;
    let settings = Settings { statement_timeout_ms: 200, ..Settings::new(server.url()) };
    let db = Db::open(&settings).await.unwrap();
    db.migrate(&[&TABLES]).await.unwrap();
    write(&db, 1).await.unwrap();
    server.pause().unwrap();
    let asked = Instant::now();
    let given_up = write(&db, 2).await;
    let took = asked.elapsed();
    server.resume().unwrap();
    assert!(matches!(given_up, Err(Error::Unavailable(_))), "{given_up:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    write(&db, 3).await.unwrap();
    assert_eq!(count(&db, "select count(*) from entries where id <> 2").await, 2);
}

/// A lock that is not given back is no reason to wait as long as for a slow statement.
#[tokio::test]
async fn a_wait_for_a_lock_ends_before_a_slow_statement_does() {
    let test = testkit::postgres(&[&TABLES]).await;
    let (client, connection) =
        tokio_postgres::connect(test.url(), tokio_postgres::NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    client.batch_execute("begin; lock table entries").await.unwrap();
    let settings = Settings { lock_timeout_ms: 50, ..Settings::new(test.url()) };
    let db = Db::open(&settings).await.unwrap();
    let waited = Instant::now();
    let refused = write(&db, 1).await;
    assert!(matches!(refused, Err(Error::Timeout)), "{refused:?}");
    assert!(waited.elapsed() < Duration::from_secs(5), "{:?}", waited.elapsed());
    client.batch_execute("rollback").await.unwrap();
    write(&db, 1).await.unwrap();
}
