//! Reads on a replica: never older than what anybody wrote before, never from a server that is no
//! replica of ours, and from the primary as soon as the replica lags, dies or is promoted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use db::{Db, Error, Settings, Stats};
use infra::{Keep, Postgres, PostgresOptions, Replica};
use kernel::Secret;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::transactions::{TABLES, count};

const VALUE: &str = "select n from counters where id = 1";
/// After how long a replica that is well again has been noticed, at most: the longest rest, and
/// what a busy machine adds.
const NOTICED: Duration = Duration::from_secs(20);

struct Pair {
    primary: Postgres,
    replica: Replica,
}

impl Pair {
    async fn start() -> Self {
        let start = || {
            let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
            let primary = Postgres::start(&options)?;
            let replica = primary.add_replica(&Keep::WhileOwned)?;
            Ok::<_, infra::Failure>(Self { primary, replica })
        };
        let pair = tokio::task::spawn_blocking(start).await.unwrap();
        pair.unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn settings(&self, database: &str) -> Settings {
        let replica = format!("{}/{database}", self.replica.server_url());
        Settings {
            replica: Some(Secret::new(replica)),
            ..Settings::new(format!("{}/{database}", self.primary.server_url()))
        }
    }

    async fn open(&self, database: &str) -> Db {
        let db = Db::open(&self.settings(database)).await.unwrap();
        db.migrate(&[&TABLES]).await.unwrap();
        db
    }

    /// Waits until the replica answers reads.
    async fn open_and_wait(&self, database: &str) -> Db {
        let db = self.open(database).await;
        until_replica_answers(&db).await;
        db
    }

    /// As an operator, past the facade.
    async fn replica(&self, sql: &'static str) {
        let url = self.replica.url();
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let (done, _ended) = tokio::join!(
            async move {
                let done = client.batch_execute(sql).await;
                drop(client);
                done
            },
            connection
        );
        done.unwrap();
    }
}

async fn until_replica_answers(db: &Db) {
    let before = db.stats().replica_reads;
    let answered = async {
        while db.stats().replica_reads == before {
            view(db).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(NOTICED, answered).await.expect("the replica is noticed");
}

async fn view(db: &Db) -> i64 {
    let view = db.view::<i64, Error, _>(|tx| {
        Box::pin(async move { tx.query_one(VALUE, &[]).await?.get(0) })
    });
    view.await.expect("an answer")
}

/// Adds one, and tells how many there are then.
async fn add(db: &Db) -> Result<i64, Error> {
    db.write(|tx| {
        Box::pin(async move {
            let sql = "update counters set n = n + 1 where id = 1 returning n";
            tx.query_one(sql, &[]).await?.get(0)
        })
    })
    .await
}

/// How a view fares, and what it did to the counters.
async fn timed_view(db: &Db) -> (i64, Duration, Stats) {
    let start = Instant::now();
    let seen = view(db).await;
    (seen, start.elapsed(), db.stats())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_sees_every_write_before_it_while_others_write_without_pause() {
    let pair = Pair::start().await;
    let one = pair.open_and_wait("t").await;
    let settings = Settings { transaction_pooling: true, ..pair.settings("t") };
    let other = Db::open(&settings).await.unwrap();
    until_replica_answers(&other).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for _ in 0..2 {
        let (db, done) = (pair.open("t").await, Arc::clone(&done));
        writers.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let sql = "update counters set n = n + 1 where id = 2";
                let noise = db.write::<_, Error, _>(move |tx| {
                    Box::pin(async move { tx.execute(sql, &[]).await })
                });
                noise.await.unwrap();
            }
        });
    }
    let reads = || one.stats().replica_reads + other.stats().replica_reads;
    let mut round = 0;
    // On a machine that is busy with something else the replica may be left alone for most of it.
    while round < 200 || reads() < 100 {
        assert!(round < 5_000, "the replica answers nothing: {:?}", one.stats());
        round += 1;
        // Written by one process, read by the other, and the other way round.
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let written = add(writer).await.unwrap();
        let (seen, also_seen) = tokio::join!(view(reader), view(writer));
        assert_eq!((seen, also_seen), (written, written), "round {round}");
    }
    done.store(true, Ordering::SeqCst);
    writers.join_all().await;
}

/// The guard taken out: the replica is asked as if it were the primary.
#[tokio::test]
async fn twin_a_read_on_the_replica_without_a_fence_is_older_than_what_was_written() {
    let pair = Pair::start().await;
    let db = pair.open_and_wait("t").await;
    let settings =
        Settings { create: false, ..Settings::new(format!("{}/t", pair.replica.server_url())) };
    let unguarded = Db::open(&settings).await.unwrap();
    pair.replica("select pg_wal_replay_pause()").await;
    let written = add(&db).await.unwrap();
    assert_eq!(count(&unguarded, VALUE).await, written - 1, "what the fence is for");
    assert_eq!(view(&db).await, written);
}

#[tokio::test]
async fn a_lagging_replica_costs_little_once_and_is_used_again_when_it_has_caught_up() {
    let pair = Pair::start().await;
    let db = pair.open_and_wait("t").await;
    pair.replica("select pg_wal_replay_pause()").await;
    let written = add(&db).await.unwrap();
    let before = db.stats();
    let (seen, took, after) = timed_view(&db).await;
    assert_eq!(seen, written);
    assert!(took < Duration::from_millis(200), "waited {took:?} for a replica that lags");
    assert_eq!(after.replica_fallbacks, before.replica_fallbacks + 1);
    assert_eq!(after.replica_reads, before.replica_reads);

    let behind = db.examine(&[]).await.unwrap().replica.unwrap().unwrap().behind_bytes;
    assert!(behind > 0);
    pair.replica("select pg_wal_replay_resume()").await;
    until_replica_answers(&db).await;
    assert_eq!(view(&db).await, written);
}

#[tokio::test]
async fn a_dead_or_hanging_replica_is_done_without_until_it_is_back() {
    let pair = Pair::start().await;
    let db = pair.open_and_wait("t").await;
    pair.replica.kill().unwrap();
    let mut written = add(&db).await.unwrap();
    let (seen, took, stats) = timed_view(&db).await;
    assert_eq!(seen, written);
    assert!(took < Duration::from_millis(300), "{took:?}");
    assert!(stats.replica_fallbacks > 0);
    // A process starts without it, too.
    let (late, started) = (Instant::now(), pair.open("t").await);
    assert_eq!(view(&started).await, written);
    assert!(late.elapsed() < Duration::from_secs(5), "{:?}", late.elapsed());
    pair.replica.start_again().unwrap();
    until_replica_answers(&db).await;
    until_replica_answers(&started).await;

    pair.replica.pause().unwrap();
    written += 1;
    assert_eq!(add(&db).await.unwrap(), written);
    let (seen, took, _) = timed_view(&db).await;
    assert_eq!(seen, written);
    assert!(took < Duration::from_millis(500), "{took:?}");
    pair.replica.resume().unwrap();
    until_replica_answers(&db).await;
    assert_eq!(view(&db).await, written);
}

#[tokio::test]
async fn a_promoted_replica_and_another_cluster_are_not_trusted() {
    let pair = Pair::start().await;
    let db = pair.open_and_wait("t").await;
    pair.replica("select pg_promote()").await;
    // Connections outlive a promotion, and the promoted server goes its own way.
    let url = format!("{}/t", pair.replica.server_url());
    let promoted = Db::open(&Settings::new(url)).await.unwrap();
    for _ in 0..100 {
        add(&promoted).await.unwrap();
    }
    let before = db.stats().replica_reads;
    assert_eq!(view(&db).await, 0, "nothing new was written that it would have to wait for");
    for round in 0..50 {
        let expected = if round % 2 == 0 { add(&db).await.unwrap() } else { view(&db).await };
        assert_eq!(view(&db).await, expected);
        assert!(expected < 100, "the promoted server's");
    }
    assert_eq!(db.stats().replica_reads, before);
    let examined = db.examine(&[]).await.unwrap().replica.unwrap();
    assert!(examined.unwrap_err().to_string().contains("no replica"));

    let stranger = Pair::start().await;
    stranger.open("t").await;
    let settings = Settings {
        replica: Some(Secret::new(format!("{}/t", stranger.replica.server_url()))),
        ..pair.settings("t")
    };
    let db = Db::open(&settings).await.unwrap();
    for _ in 0..20 {
        view(&db).await;
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(db.stats().replica_reads, 0);
    let examined = db.examine(&[]).await.unwrap().replica.unwrap();
    assert!(examined.unwrap_err().to_string().contains("another history"));
}
