//! Every type there and back, nulls and arrays, on both engines.

use db::{Engine, Error, Migration, Migrations, Sql, Value};
use kernel::{BookingId, Timestamp};
use serde_json::json;
use testkit::SeededIds;

use crate::engines::databases;

static TABLES: Migrations = Migrations {
    owner: "types",
    postgres: &[Migration {
        name: "0001_samples",
        sql: "create table samples (
            id uuid not null primary key, i bigint, small smallint, f double precision, b boolean,
            t text, at timestamptz, j jsonb, bytes bytea)",
    }],
    sqlite: &[Migration {
        name: "0001_samples",
        sql: "create table samples (
            id blob not null primary key, i integer, small integer, f real, b integer,
            t text, at integer, j text, bytes blob)",
    }],
};

const INSERT: &str = "insert into samples (id, i, small, f, b, t, at, j, bytes)
                      values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const SELECT: &str = "select id, i, small, f, b, t, at, j, bytes from samples where id = $1";

#[tokio::test]
async fn values_come_back_as_they_went_and_nothing_else_passes_for_them() {
    let ids = SeededIds::new(1);
    let full = BookingId::new(&ids, Timestamp::from_seconds(1));
    let empty = BookingId::new(&ids, Timestamp::from_seconds(2));
    let at = Timestamp::from_micros(-1_234_567_890_123);
    let json = json!({"seats": [1, 2.5, null], "name": "Ä\u{1f3ad}"});
    for test in databases(&[&TABLES]).await {
        let engine = test.engine();
        let row: Vec<Value> = vec![
            full.into(),
            i64::MIN.into(),
            (-7).into(),
            2.0.into(),
            true.into(),
            "Ä\u{1f3ad} 'x'".into(),
            at.into(),
            json.clone().into(),
            vec![0_u8, 255].into(),
        ];
        let nulls = std::iter::once(empty.into()).chain(std::iter::repeat_n(Value::Null, 8));
        let rows = vec![row, nulls.collect()];
        let write = test.db.write::<_, Error, _>(move |tx| {
            let rows = rows.clone();
            Box::pin(async move { tx.execute_many(INSERT, &rows).await })
        });
        assert_eq!(write.await.expect("written"), 2, "{engine}");

        let read = test.db.read::<_, Error, _>(move |tx| {
            Box::pin(async move {
                let full = tx.query_one(SELECT, &[full.into()]).await?;
                Ok((full, tx.query_opt(SELECT, &[empty.into()]).await?))
            })
        });
        let (row, nulls) = read.await.expect("read");
        assert_eq!(row.get::<BookingId>(0).expect("id"), full, "{engine}");
        assert_eq!(row.get::<i64>(1).expect("integer"), i64::MIN, "{engine}");
        assert_eq!(row.get::<i32>(2).expect("small"), -7, "{engine}");
        assert_eq!(row.get::<Option<f64>>(3).expect("float"), Some(2.0), "{engine}");
        assert!(row.get::<bool>(4).expect("boolean"), "{engine}");
        assert_eq!(row.get::<String>(5).expect("text"), "Ä\u{1f3ad} 'x'", "{engine}");
        assert_eq!(row.get::<Timestamp>(6).expect("time"), at, "{engine}");
        assert_eq!(row.get::<serde_json::Value>(7).expect("json"), json, "{engine}");
        assert_eq!(row.get::<Vec<u8>>(8).expect("bytes"), [0, 255], "{engine}");

        let corrupt = |error: Error| matches!(error, Error::Corrupt { .. });
        assert!(corrupt(row.get::<u32>(2).expect_err("negative")), "{engine}");
        assert!(corrupt(row.get::<bool>(1).expect_err("no boolean")), "{engine}");
        assert!(corrupt(row.get::<String>(0).expect_err("no text")), "{engine}");
        assert!(corrupt(row.get::<i64>(9).expect_err("no such column")), "{engine}");
        let nulls = nulls.expect("a row");
        for column in 1..9 {
            assert!(corrupt(nulls.get::<i64>(column).expect_err("null")), "{engine}: {column}");
        }
        assert_eq!(nulls.get::<Option<Timestamp>>(6).expect("null"), None, "{engine}");
        assert_eq!(nulls.get::<Option<serde_json::Value>>(7).expect("null"), None, "{engine}");
    }
}

#[tokio::test]
async fn arrays_are_unnested_the_way_of_each_engine() {
    const SQL: Sql = Sql::split(
        "select u, n, b, t, a from
         unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::text[], $5::timestamptz[])
         with ordinality as x (u, n, b, t, a, k) order by k",
        "select unhex(u.value), n.value, b.value, t.value, a.value
         from json_each($1) u join json_each($2) n using (key) join json_each($3) b using (key)
         join json_each($4) t using (key) join json_each($5) a using (key) order by key",
    );
    let ids = SeededIds::new(2);
    let bookings: Vec<BookingId> =
        (0..3).map(|second| BookingId::new(&ids, Timestamp::from_seconds(second))).collect();
    let times: Vec<_> = (0..3).map(Timestamp::from_micros).collect();
    for test in databases(&[]).await {
        let params: Vec<Value> = vec![
            bookings.clone().into(),
            vec![i64::MAX, 0, -1].into(),
            vec![true, false, true].into(),
            vec!["a\"b".to_owned(), String::new(), "Ä".to_owned()].into(),
            times.clone().into(),
        ];
        let nothing: Vec<Value> = vec![
            Vec::<BookingId>::new().into(),
            Vec::<i64>::new().into(),
            Vec::<bool>::new().into(),
            Vec::<String>::new().into(),
            Vec::<Timestamp>::new().into(),
        ];
        let read = test.db.read::<_, Error, _>(move |tx| {
            let (params, nothing) = (params.clone(), nothing.clone());
            Box::pin(async move {
                assert!(tx.query(SQL, &nothing).await?.is_empty());
                tx.query(SQL, &params).await
            })
        });
        let rows = read.await.expect("rows");
        let engine = test.engine();
        let texts: Vec<String> = rows.iter().map(|row| row.get(3).expect("text")).collect();
        assert_eq!(texts, ["a\"b", "", "Ä"], "{engine}");
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(row.get::<BookingId>(0).expect("id"), bookings[index], "{engine}");
            assert_eq!(row.get::<i64>(1).expect("number"), [i64::MAX, 0, -1][index], "{engine}");
            assert_eq!(row.get::<bool>(2).expect("boolean"), index != 1, "{engine}");
            assert_eq!(row.get::<Timestamp>(4).expect("time"), times[index], "{engine}");
        }
    }
}

#[tokio::test]
async fn a_statement_for_many_rows_runs_once_for_each_of_them() {
    const INSERT: Sql = Sql::split(
        "insert into samples (id, i, b, t, at, j)
         select id, i, b, t, at, j::jsonb
         from (select * from unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::text[],
                 $5::timestamptz[], $6::text[]) w (id, i, b, t, at, j) limit $7) w
         returning i",
        "insert into samples (id, i, b, t, at, j) values ($1, $2, $3, $4, $5, $6)
         returning i",
    );
    const DELETE: Sql = Sql::split(
        "delete from samples s using (select * from unnest($1::uuid[]) w (id) limit $2) w
         where s.id = w.id",
        "delete from samples where id = $1",
    );
    let ids = SeededIds::new(3);
    let bookings: Vec<BookingId> =
        (0..3).map(|second| BookingId::new(&ids, Timestamp::from_seconds(second))).collect();
    for test in databases(&[&TABLES]).await {
        let (engine, bookings) = (test.engine(), bookings.clone());
        let written = test.db.write::<_, Error, _>(move |tx| {
            let bookings = bookings.clone();
            Box::pin(async move {
                let row = |(index, id): (i64, &BookingId)| {
                    let (text, json) = ((index != 1).then_some("t"), json!([index]));
                    let at = (index == 2).then_some(Timestamp::EPOCH);
                    let id = (*id).into();
                    vec![id, index.into(), true.into(), text.into(), at.into(), json.into()]
                };
                let rows: Vec<_> = (0..).zip(&bookings).map(row).collect();
                let given = tx.query_all(INSERT, rows).await?;
                let given: Result<Vec<i64>, _> = given.iter().map(|row| row.get(0)).collect();
                let sql = "select t, j, at from samples order by i";
                let read = tx.query(sql, &[]).await?;
                let gone = bookings.iter().take(2).map(|id| vec![(*id).into()]).collect();
                let gone = tx.execute_all(DELETE, gone).await?;
                let nothing = tx.execute_all(DELETE, Vec::new()).await?;
                Ok((given?, read, gone, nothing))
            })
        });
        let (mut given, read, gone, nothing) = written.await.expect("written");
        given.sort_unstable();
        assert_eq!((given, gone, nothing), (vec![0, 1, 2], 2, 0), "{engine}");
        for (index, row) in (0..).zip(&read) {
            let text: Option<String> = row.get(0).expect("text");
            assert_eq!(text.is_none(), index == 1, "{engine}");
            assert_eq!(row.get::<serde_json::Value>(1).expect("json"), json!([index]), "{engine}");
            let at: Option<Timestamp> = row.get(2).expect("time");
            assert_eq!(at, (index == 2).then_some(Timestamp::EPOCH), "{engine}");
        }
        if test.db.engine() == Engine::Postgres {
            let mixed = test.db.write::<u64, Error, _>(move |tx| {
                let rows = vec![vec![Value::Null], vec![1.into()], vec!["one".into()]];
                Box::pin(async move { tx.execute_all(DELETE, rows).await })
            });
            let refused = mixed.await;
            assert!(matches!(refused, Err(Error::Statement(_))), "{refused:?}");
        }
        let uneven = test.db.write::<u64, Error, _>(move |tx| {
            let rows = vec![vec![Value::Uuid(uuid::Uuid::nil())], Vec::new()];
            Box::pin(async move { tx.execute_all(DELETE, rows).await })
        });
        let refused = uneven.await;
        assert!(matches!(refused, Err(Error::Statement(_))), "{engine}: {refused:?}");
    }
}

#[tokio::test]
async fn what_had_an_effect_is_told_by_its_keys() {
    const NEW: Sql = Sql::split(
        "insert into samples (id, i, t)
         select id, i, t
         from (select * from unnest($1::uuid[], $2::bigint[], $3::text[]) w (id, i, t) limit $4) w
         on conflict do nothing
         returning id, i",
        "insert into samples (id, i, t) values ($1, $2, $3) on conflict do nothing",
    );
    let ids = SeededIds::new(3);
    let bookings: Vec<BookingId> =
        (0..4).map(|second| BookingId::new(&ids, Timestamp::from_seconds(second))).collect();
    for test in databases(&[&TABLES]).await {
        let (engine, ids) = (test.engine(), bookings.clone());
        let row = |id: &BookingId, number: i64| vec![(*id).into(), number.into(), "t".into()];
        let first = vec![row(&ids[0], 0), row(&ids[1], 1)];
        let again = vec![row(&ids[2], 2), row(&ids[1], 7), row(&ids[3], 3), row(&ids[2], 8)];
        let mut told = Vec::new();
        for rows in [first, again, Vec::new()] {
            let written = test.db.write::<_, Error, _>(move |tx| {
                let rows = rows.clone();
                Box::pin(async move {
                    let rows = tx.effects(NEW, 2, rows).await?;
                    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
                })
            });
            let mut written: Vec<(BookingId, i64)> = written.await.expect("written");
            written.sort_unstable_by_key(|(_, number)| *number);
            told.push(written);
        }
        assert_eq!(told[0], [(ids[0], 0), (ids[1], 1)], "{engine}");
        assert_eq!(told[1], [(ids[2], 2), (ids[3], 3)], "{engine}: each once, the first of two");
        assert_eq!(told[2], [], "{engine}");
        let short = test.db.write::<_, Error, _>(move |tx| {
            let rows = vec![vec![Value::Uuid(uuid::Uuid::nil())]];
            Box::pin(async move { tx.effects(NEW, 2, rows).await })
        });
        let refused = short.await;
        assert!(matches!(refused, Err(Error::Statement(_))), "{engine}: {refused:?}");
    }
}
