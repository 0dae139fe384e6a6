//! Migrations: once each, in order, unchanged, and by several processes at once.

use db::{Db, Error, Migration, Migrations};
use futures_util::future::join_all;

use crate::engines::databases;
use crate::transactions::count;

const FIRST: Migration = Migration {
    name: "0001_things",
    sql: "create table things (id bigint not null primary key);
          insert into things values (1);",
};
const SECOND: Migration = Migration { name: "0002_more", sql: "insert into things values (2)" };

static FIRST_ONLY: [Migration; 1] = [FIRST];
static BOTH: [Migration; 2] = [FIRST, SECOND];
static CHANGED: [Migration; 2] =
    [FIRST, Migration { name: SECOND.name, sql: "insert into things values (3)" }];
static DISORDERED: [Migration; 2] = [SECOND, FIRST];
static BROKEN: [Migration; 3] = [
    FIRST,
    SECOND,
    Migration {
        name: "0003_broken",
        sql: "insert into things values (4); insert into nowhere values (1);",
    },
];

fn set(owner: &'static str, list: &'static [Migration]) -> Migrations {
    Migrations { owner, postgres: list, sqlite: list }
}

#[tokio::test]
async fn each_is_applied_once_and_refused_once_changed() {
    for test in databases(&[]).await {
        let (db, engine) = (&test.db, test.engine());
        db.migrate(&[&set("a", &FIRST_ONLY)]).await.expect("the first");
        db.migrate(&[&set("a", &BOTH)]).await.expect("one more");
        db.migrate(&[&set("a", &BOTH)]).await.expect("nothing to do");
        assert_eq!(count(db, "select sum(id) from things").await, 3, "{engine}");

        for (list, name) in [(&CHANGED[..], "0002_more"), (&DISORDERED, "0001_things")] {
            let refused = db.migrate(&[&set("a", list)]).await;
            let Err(Error::Migration { name: found, .. }) = &refused else {
                panic!("{engine}: {refused:?}")
            };
            assert_eq!(found, name, "{engine}");
        }
        let failed = db.migrate(&[&set("a", &BROKEN)]).await;
        let named = matches!(&failed, Err(Error::Migration { name, .. }) if name == "0003_broken");
        assert!(named, "{engine}: {failed:?}");
        assert_eq!(count(db, "select sum(id) from things").await, 3, "{engine}: half of it stayed");

        // The table is there already: another owner's migration of the same name is another one.
        let other = db.migrate(&[&set("b", &FIRST_ONLY)]).await;
        assert!(matches!(other, Err(Error::Migration { .. })), "{engine}: {other:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_open_create_and_migrate_at_once() {
    for test in databases(&[]).await {
        let settings = test.unmade();
        let process = async || {
            let db = Db::open(&settings).await?;
            db.migrate(&[&set("a", &BOTH)]).await?;
            Ok::<_, Error>(db)
        };
        for result in join_all((0..6).map(|_| process())).await {
            let db = result.unwrap_or_else(|error| panic!("{}: {error}", test.engine()));
            assert_eq!(count(&db, "select sum(id) from things").await, 3, "{}", test.engine());
            db.close().await;
        }
    }
}
