//! Callers that go away at any point: each transaction is there whole or not at all, and no
//! connection is left inside one. The twin keeps transactions in the caller's future, and breaks.

use std::{collections::BTreeMap, sync::Arc};

use db::{Db, Engine, Error};
use testkit::SeededIds;
use tokio::{sync::Mutex, task::JoinSet};
use tokio_postgres::NoTls;

use crate::engines::databases;
use crate::transactions::{TABLES, count, insert};

const CALLERS: i64 = 800;
/// How many callers are under way at once: more than there are connections.
const WAVE: usize = 16;
const INSERT: &str = "insert into entries (id, amount) values ($1, $2)";

/// What became of the rows that one caller writes, `2n` and `2n + 1`.
#[derive(Default)]
struct Outcome {
    acknowledged: bool,
    rows: usize,
}

/// Starts the callers in waves, and drops each after a number of polls that `seed` decides.
async fn storm<F>(seed: u64, write: impl Fn(i64) -> F) -> BTreeMap<i64, Outcome>
where
    F: Future<Output = bool> + Send + 'static,
{
    let random = SeededIds::new(seed);
    let mut outcomes = BTreeMap::new();
    for first in (0..CALLERS).step_by(WAVE) {
        let mut wave = JoinSet::new();
        for caller in (first..CALLERS).take(WAVE) {
            let patience = random.below(1 << random.below(14));
            let write = write(caller);
            wave.spawn(async move {
                let impatient = async {
                    for _ in 0..patience {
                        tokio::task::yield_now().await;
                    }
                };
                let acknowledged = tokio::select! {
                    biased;
                    () = impatient => false,
                    acknowledged = write => acknowledged,
                };
                (caller, Outcome { acknowledged, rows: 0 })
            });
        }
        outcomes.extend(wave.join_all().await);
    }
    outcomes
}

/// Reads back, over another connection, what each caller left.
async fn look(db: &Db, outcomes: &mut BTreeMap<i64, Outcome>) {
    let read = db.read::<_, Error, _>(|tx| {
        Box::pin(async move { tx.query("select id from entries where id < 90000", &[]).await })
    });
    for row in read.await.expect("rows") {
        let id: i64 = row.get(0).expect("id");
        outcomes.get_mut(&(id / 2)).expect("a caller's").rows += 1;
    }
}

fn breaches(outcomes: &BTreeMap<i64, Outcome>) -> usize {
    let broken = |outcome: &&Outcome| match outcome.rows {
        2 => false,
        0 => outcome.acknowledged,
        _ => true,
    };
    outcomes.values().filter(broken).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_caller_leaves_all_of_its_transaction_or_nothing() {
    for test in databases(&[&TABLES]).await {
        let engine = test.engine();
        for seed in 0..3 {
            let db = test.open_again().await;
            empty(&db).await;
            let mut outcomes = storm(seed, |caller| {
                let db = db.clone();
                async move {
                    // A read that is dropped must leave its connection clean, too.
                    if caller % 3 == 0 {
                        count(&db, "select sum(amount) from entries").await;
                        return false;
                    }
                    write_pair(&db, caller).await.is_ok()
                }
            })
            .await;
            let gone = outcomes.values().filter(|outcome| !outcome.acknowledged).count();
            assert!(0 < gone && gone < outcomes.len(), "{engine}: {gone} were dropped");

            // Later writes on the same connections are durable, each seen by everyone else.
            for id in 100_000..100_020 {
                insert(&db, id, 1, "later").await.expect_err("taken: amount, label");
                write_one(&db, id).await.expect("a later write");
                let seen = count(&test.db, "select max(id) from entries").await;
                assert_eq!(seen, id, "{engine}: a write was acknowledged and not committed");
            }
            none_is_left_in_a_transaction(&test.db).await;
            db.close().await;
            look(&test.db, &mut outcomes).await;
            assert_eq!(breaches(&outcomes), 0, "{engine}, seed {seed}");
        }
    }
}

async fn empty(db: &Db) {
    let emptied = db.write::<_, Error, _>(|tx| {
        Box::pin(async move {
            tx.execute("delete from entries", &[]).await?;
            // What `insert` in the test runs into, so that failed transactions are in the mix.
            let sql = "insert into entries (id, amount, label) values (90000, 1, 'later')";
            tx.execute(sql, &[]).await
        })
    });
    emptied.await.expect("emptied");
}

async fn write_pair(db: &Db, caller: i64) -> Result<(), Error> {
    db.write(move |tx| {
        Box::pin(async move {
            tx.execute(INSERT, &[(2 * caller).into(), 1.into()]).await?;
            tx.execute(INSERT, &[(2 * caller + 1).into(), 1.into()]).await.map(drop)
        })
    })
    .await
}

async fn write_one(db: &Db, id: i64) -> Result<(), Error> {
    db.write(move |tx| {
        Box::pin(async move { tx.execute(INSERT, &[id.into(), 1.into()]).await.map(drop) })
    })
    .await
}

/// Transactions of callers that have gone may still be at work; they end, and none stays.
async fn none_is_left_in_a_transaction(db: &Db) {
    if db.engine() == Engine::Sqlite {
        return; // its one writer would hold up every later write
    }
    let busy = "select count(*) from pg_stat_activity
                where application_name = current_setting('application_name')
                and pid <> pg_backend_pid() and state <> 'idle'";
    for _ in 0..10_000 {
        if count(db, busy).await == 0 {
            return;
        }
    }
    panic!("a connection is left in a transaction");
}

/// The guard taken out: `begin`, statements and `commit` in the caller's own future, on one
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twin_a_transaction_in_the_callers_future_is_left_half_done() {
    let test = testkit::postgres(&[&TABLES]).await;
    empty(&test.db).await;
    let (client, connection) = tokio_postgres::connect(test.url(), NoTls).await.expect("connect");
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let client = Arc::new(Mutex::new(client));
    let mut outcomes = storm(1, |caller| {
        let client = Arc::clone(&client);
        async move {
            let client = client.lock().await;
            let pair = async {
                client.batch_execute("begin").await?;
                client.execute(INSERT, &[&(2 * caller), &1_i64]).await?;
                client.execute(INSERT, &[&(2 * caller + 1), &1_i64]).await?;
                client.batch_execute("commit").await
            };
            pair.await.is_ok()
        }
    })
    .await;
    look(&test.db, &mut outcomes).await;
    assert!(breaches(&outcomes) > 0, "the storm above would find nothing either");
}
