//! PostgreSQL keeps a statement's plan with the connection, also once the table has grown.

use db::{Db, Error, Settings, Value};
use uuid::Uuid;

/// PostgreSQL plans a statement anew for its first five runs, then settles for one plan.
const RUNS_BEFORE_A_PLAN_IS_KEPT: usize = 6;

const ADD: &str = "insert into planned (id) select md5(n::text)::uuid
    from generate_series($1::bigint, $2::bigint) n";
const FIND: &str = "select p.id from (select * from unnest($1::uuid[]) w (id) limit $2) w
    join planned p on p.id = w.id";
/// Of this transaction alone.
const READ: &str = "select seq_tup_read from pg_stat_xact_user_tables
    where relid = 'planned'::regclass";

async fn run(db: &Db, sql: &'static str, params: Vec<Value>) {
    let ran = db.write(move |tx| {
        let params = params.clone();
        Box::pin(async move { tx.execute(sql, &params).await })
    });
    Result::<u64, Error>::unwrap(ran.await);
}

#[tokio::test]
async fn a_plan_made_while_a_table_was_small_never_reads_all_of_it() {
    assert_eq!(rows_read_one_by_one(&[]).await, 0);
}

#[tokio::test]
async fn twin_left_to_itself_the_server_reads_all_of_the_table() {
    // Whoever else changes the schema may have the server plan anew in between, and well.
    for _ in 0..20 {
        if rows_read_one_by_one(&["set enable_seqscan = on"]).await >= 5_000 {
            return;
        }
    }
    panic!("the server never kept a plan that reads all of the table");
}

/// What a statement by key reads so of a table that has grown since it was planned.
async fn rows_read_one_by_one(before: &[&'static str]) -> i64 {
    let test = testkit::postgres(&[]).await;
    // One connection, as plans are kept with it.
    let settings = Settings { max_connections: 1, ..Settings::new(test.url()) };
    let db = Db::open(&settings).await.unwrap();
    for sql in before {
        run(&db, sql, vec![]).await;
    }
    run(&db, "create table planned (id uuid primary key)", vec![]).await;
    run(&db, ADD, vec![1_i64.into(), 50_i64.into()]).await;
    run(&db, "analyze planned", vec![]).await;
    let find = || vec![vec![Uuid::from_u128(1); 8].into(), 8_i64.into()];
    for _ in 0..RUNS_BEFORE_A_PLAN_IS_KEPT {
        run(&db, FIND, find()).await;
    }
    run(&db, ADD, vec![51_i64.into(), 5_000_i64.into()]).await;
    let read = db.read(move |tx| {
        Box::pin(async move {
            tx.execute(FIND, &find()).await?;
            tx.query_one(READ, &[]).await?.get::<i64>(0)
        })
    });
    let read: Result<i64, Error> = read.await;
    db.close().await;
    read.unwrap()
}
