//! Commit, rollback, isolation from neighbours in a batch, retry, and what errors are called.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use db::{Db, Engine, Error, Migration, Migrations, Settings, Sql};
use tokio::{sync::Barrier, task::JoinSet};

use crate::engines::databases;

pub(crate) static TABLES: Migrations = Migrations {
    owner: "test",
    postgres: &[Migration { name: "0001_entries", sql: SCHEMA }],
    sqlite: &[Migration { name: "0001_entries", sql: SCHEMA }],
};

const SCHEMA: &str = "
    create table entries (
        id bigint not null primary key,
        amount bigint not null check (amount >= 0),
        label text,
        unique (amount, label)
    );
    create unique index entries_by_label on entries (label) where amount > 100;
    create table counters (id bigint not null primary key, n bigint not null);
    insert into counters (id, n) values (1, 0), (2, 0);";

pub(crate) async fn insert(
    db: &Db,
    id: i64,
    amount: i64,
    label: &'static str,
) -> Result<(), Error> {
    db.write(move |tx| {
        Box::pin(async move {
            let sql = "insert into entries (id, amount, label) values ($1, $2, $3)";
            tx.execute(sql, &[id.into(), amount.into(), label.into()]).await.map(drop)
        })
    })
    .await
}

pub(crate) async fn count(db: &Db, sql: impl Into<Sql>) -> i64 {
    let sql = sql.into();
    let read = db.read::<i64, Error, _>(move |tx| {
        Box::pin(async move { tx.query_one(sql, &[]).await?.get(0) })
    });
    read.await.expect("a count")
}

#[tokio::test]
async fn what_is_written_is_durable_and_what_fails_leaves_nothing() {
    for test in databases(&[&TABLES]).await {
        let (db, engine) = (&test.db, test.engine());
        insert(db, 1, 10, "one").await.expect("committed");
        let refused: Result<(), Error> = db
            .write(|tx| {
                Box::pin(async move {
                    let sql = "insert into entries (id, amount) values ($1, $2)";
                    tx.execute(sql, &[2.into(), 20.into()]).await?;
                    Err(Error::Conflict)
                })
            })
            .await;
        assert!(matches!(refused, Err(Error::Conflict)), "{engine}: {refused:?}");

        let other = test.open_again().await;
        assert_eq!(count(&other, "select count(*) from entries").await, 1, "{engine}");
        db.close().await;
        let late = insert(db, 3, 1, "late").await;
        assert!(matches!(late, Err(Error::Unavailable(_))), "{engine}: {late:?}");
        assert_eq!(count(&other, "select sum(amount) from entries").await, 10, "{engine}");
    }
}

/// Runs bodies that succeed, are refused, fail in SQL and panic, all at once, so that on SQLite
/// they share batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_fails_or_panics_takes_no_neighbour_along() {
    const CALLERS: i64 = 80;
    for test in databases(&[&TABLES]).await {
        let barrier = Arc::new(Barrier::new(CALLERS as usize));
        let mut callers = JoinSet::new();
        for id in 0..CALLERS {
            let (db, barrier) = (test.db.clone(), Arc::clone(&barrier));
            callers.spawn(async move {
                barrier.wait().await;
                let written = db.write(move |tx| {
                    Box::pin(async move {
                        let sql = "insert into entries (id, amount) values ($1, $2)";
                        tx.execute(sql, &[id.into(), 1.into()]).await?;
                        match id % 4 {
                            1 => return Err(Error::Timeout),
                            2 => tx.execute(sql, &[id.into(), 1.into()]).await.map(drop)?,
                            3 => panic!("as the test wants"),
                            _ => {}
                        }
                        Ok(())
                    })
                });
                (id, written.await)
            });
        }
        let engine = test.engine();
        for (id, result) in callers.join_all().await {
            match (id % 4, result) {
                (0, Ok(())) | (1, Err(Error::Timeout)) => {}
                (2, Err(Error::Unique { constraint })) => assert_eq!(constraint, "entries_pkey"),
                (3, Err(Error::Statement(text))) => assert!(text.contains("panicked")),
                (_, result) => panic!("{engine}: {id} got {result:?}"),
            }
        }
        let kept = count(&test.db, "select count(*) from entries where id % 4 = 0").await;
        assert_eq!(kept, CALLERS / 4, "{engine}");
        assert_eq!(count(&test.db, "select count(*) from entries").await, kept, "{engine}");
        let stats = test.db.stats();
        assert_eq!(stats.writes, kept.unsigned_abs(), "{engine}");
        if test.db.engine() == Engine::Sqlite {
            assert!(stats.commits < stats.writes, "commits are shared: {stats:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_statement_fails_its_transaction_on_both_engines() {
    for test in databases(&[&TABLES]).await {
        insert(&test.db, 1, 1, "taken").await.expect("committed");
        let swallowed: Result<(), Error> = test
            .db
            .write(|tx| {
                Box::pin(async move {
                    let sql = "insert into entries (id, amount) values ($1, $2)";
                    tx.execute(sql, &[2.into(), 2.into()]).await?;
                    let refused = tx.execute(sql, &[1.into(), 3.into()]).await;
                    assert!(matches!(refused, Err(Error::Unique { .. })));
                    let after = tx.query("select 1", &[]).await;
                    assert!(matches!(after, Err(Error::Statement(_))), "refused: {after:?}");
                    Ok(())
                })
            })
            .await;
        assert!(matches!(swallowed, Err(Error::Unique { .. })), "{swallowed:?}");
        assert_eq!(count(&test.db, "select count(*) from entries").await, 1, "{}", test.engine());
    }
}

#[tokio::test]
async fn constraints_are_called_the_same_on_both_engines() {
    for test in databases(&[&TABLES]).await {
        let (db, engine) = (&test.db, test.engine());
        insert(db, 1, 1, "a").await.expect("committed");
        insert(db, 2, 200, "b").await.expect("committed");
        let name = async |id, amount, label| match insert(db, id, amount, label).await {
            Err(Error::Unique { constraint }) => constraint,
            other => panic!("{engine}: {other:?}"),
        };
        assert_eq!(name(1, 5, "c").await, "entries_pkey", "{engine}");
        assert_eq!(name(3, 1, "a").await, "entries_amount_label_key", "{engine}");
        assert_eq!(name(4, 300, "b").await, "entries_by_label", "{engine}");
        let refused = insert(db, 5, -1, "d").await;
        assert!(matches!(refused, Err(Error::Constraint(_))), "{engine}: {refused:?}");

        for wrong in ["select nothing from nowhere", "select $1", "insert into entries (id) values"]
        {
            let read = db.read::<_, Error, _>(move |tx| Box::pin(tx.query(wrong, &[])));
            let refused = read.await.map(|rows| rows.len());
            assert!(matches!(refused, Err(Error::Statement(_))), "{engine}: {wrong}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_read_is_a_snapshot_that_writes_nothing() {
    for test in databases(&[&TABLES]).await {
        let (db, engine) = (&test.db, test.engine());
        let refused: Result<u64, Error> = db
            .read(|tx| Box::pin(async move { tx.execute("update counters set n = 9", &[]).await }))
            .await;
        assert!(matches!(refused, Err(Error::Statement(_))), "{engine}: {refused:?}");

        let settings = test.settings.clone();
        let read = db.read::<_, Error, _>(move |tx| {
            let settings = settings.clone();
            Box::pin(async move {
                let sum = "select cast(sum(n) as bigint) from counters";
                let before: i64 = tx.query_one(sum, &[]).await?.get(0)?;
                // A body must await nothing else; a test may block to let time pass outside.
                std::thread::scope(|scope| {
                    let write = scope.spawn(|| add_one(&settings));
                    write.join().expect("written");
                });
                let after: i64 = tx.query_one(sum, &[]).await?.get(0)?;
                Ok((before, after))
            })
        });
        let (before, after) = read.await.expect("read");
        assert_eq!(before, after, "{engine}: nothing moves under a reader");
        assert_eq!(count(db, "select n from counters where id = 1").await, 1, "{engine}");
    }
}

/// On a thread and a runtime of its own, as the caller's is blocked meanwhile.
fn add_one(settings: &Settings) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let db = Db::open(settings).await.expect("open");
        let sql = "update counters set n = n + 1 where id = 1";
        let written =
            db.write::<_, Error, _>(move |tx| Box::pin(async move { tx.execute(sql, &[]).await }));
        written.await.expect("written");
    });
}

/// Two transactions take two rows in opposite order; PostgreSQL ends one of them, and it is run
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_lost_is_run_again() {
    for test in databases(&[&TABLES]).await {
        let runs = Arc::new(AtomicU32::new(0));
        let both_hold_one = Arc::new(Barrier::new(2));
        let postgres = test.db.engine() == Engine::Postgres;
        let transfer = |first: i64, second: i64| {
            let (db, runs, barrier) =
                (test.db.clone(), Arc::clone(&runs), Arc::clone(&both_hold_one));
            async move {
                db.write::<_, Error, _>(move |tx| {
                    let (runs, barrier) = (Arc::clone(&runs), Arc::clone(&barrier));
                    Box::pin(async move {
                        let sql = "update counters set n = n + 1 where id = $1";
                        tx.execute(sql, &[first.into()]).await?;
                        if postgres && runs.fetch_add(1, Ordering::SeqCst) < 2 {
                            barrier.wait().await;
                        }
                        tx.execute(sql, &[second.into()]).await
                    })
                })
                .await
            }
        };
        let (one, two) = tokio::join!(transfer(1, 2), transfer(2, 1));
        assert!(one.is_ok() && two.is_ok(), "{}: {one:?}, {two:?}", test.engine());
        assert_eq!(count(&test.db, "select sum(n) from counters").await, 4, "{}", test.engine());
        assert_eq!(test.db.stats().retries > 0, postgres, "{:?}", test.db.stats());
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_an_endless_statement_ends() {
    let test = testkit::sqlite(&[&TABLES]).await;
    let narrow = Settings { max_waiting: 1, max_connections: 1, ..Settings::new(test.url()) };
    let db = Db::open(&narrow).await.expect("open");
    let all = (0..64).map(|id| {
        let db = db.clone();
        async move { insert(&db, id, id, "x").await }
    });
    let results = futures_util::future::join_all(all).await;
    let full = results.iter().filter(|r| matches!(r, Err(Error::Overloaded(_)))).count();
    let written = results.iter().filter(|r| r.is_ok()).count();
    assert!(full > 0 && full + written == 64, "{results:?}");

    let test = testkit::postgres(&[&TABLES]).await;
    let hasty = Settings { statement_timeout_ms: 50, ..Settings::new(test.url()) };
    let db = Db::open(&hasty).await.expect("open");
    let slow: Result<_, Error> =
        db.read(|tx| Box::pin(async move { tx.execute("select pg_sleep(60)", &[]).await })).await;
    assert!(matches!(slow, Err(Error::Timeout)), "{slow:?}");
    insert(&db, 1, 1, "after").await.expect("the connection is fine");
}

#[tokio::test]
async fn many_rows_go_in_one_call() {
    for test in databases(&[&TABLES]).await {
        let rows: Vec<Vec<_>> = (0..500_i64).map(|id| vec![id.into(), (id * 2).into()]).collect();
        let written = test
            .db
            .write::<_, Error, _>(move |tx| {
                let rows = rows.clone();
                Box::pin(async move {
                    // `$2` before `$1`, and `$1` twice.
                    let sql = "insert into entries (amount, id) select $2, $1 where $1 >= 100";
                    let sql = Sql::split(
                        "insert into entries (amount, id) select $2::bigint, $1::bigint
                         where $1::bigint >= 100",
                        sql,
                    );
                    tx.execute_many(sql, &rows).await
                })
            })
            .await;
        assert_eq!(written.expect("written"), 400, "{}", test.engine());
        let wrong = "select count(*) from entries where amount <> id * 2";
        assert_eq!(count(&test.db, wrong).await, 0, "{}", test.engine());
    }
}

#[tokio::test]
async fn a_row_is_found_by_its_key_with_what_was_committed_and_changes_nothing() {
    const FIND: &str = "select amount from entries where label = $1";
    const CHANGE: &str = "insert into entries (id, amount) values ($1, 1) returning amount";
    for test in databases(&[&TABLES]).await {
        let (db, engine) = (&test.db, test.engine());
        let found = async |label: &'static str| {
            let row = db.find(FIND, vec![label.into()]).await;
            row.map(|row| row.map(|row| row.get::<i64>(0).expect("a number")))
        };
        assert_eq!(found("one").await.expect("read"), None, "{engine}");
        for (id, label) in [(1, "one"), (2, "two")] {
            insert(db, id, id * 10, label).await.expect("committed");
            // What others have committed by now, and not what there was when it was first asked.
            assert_eq!(found(label).await.expect("read"), Some(id * 10), "{engine}");
        }
        insert(db, 3, 1, "two").await.expect("committed");
        let many = found("two").await;
        assert!(matches!(many, Err(Error::Statement(_))), "{engine}: {many:?}");
        let changed = db.find(CHANGE, vec![4.into()]).await.map(drop);
        assert!(matches!(changed, Err(Error::Statement(_))), "{engine}: {changed:?}");
        let wrong = db.find("select nothing from nowhere", Vec::new()).await.map(drop);
        assert!(wrong.is_err(), "{engine}");
        let again = found("one").await.expect("no trace of what failed");
        assert_eq!(again, Some(10), "{engine}");
        let before = db.stats().reads;
        futures_util::future::join_all((0..64).map(|_| found("one"))).await;
        assert_eq!(db.stats().reads, before + 64, "{engine}");
        let (late, closed) = (db.clone(), db.clone());
        closed.close().await;
        let closed = late.find(FIND, vec!["one".into()]).await.map(drop);
        assert!(matches!(closed, Err(Error::Unavailable(_))), "{engine}: {closed:?}");
    }
}
