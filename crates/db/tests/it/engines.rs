//! The engines that each promise is tested on: SQLite, PostgreSQL, and PostgreSQL behind a pooler
//! that gives each transaction whichever session is free.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

use db::{Db, Engine, Error, Migrations, Settings};
use infra::{PgBouncer, Postgres, PostgresOptions};
use testkit::TestDb;

/// A database of its own for one test.
pub(crate) struct Case {
    pub(crate) db: Db,
    pub(crate) settings: Settings,
    name: &'static str,
    /// Where its schemas are, if it was not made by `testkit`.
    server: Option<&'static Pooled>,
    _kept: Option<TestDb>,
}

struct Pooled {
    pooler: PgBouncer,
    _server: Postgres,
    made: AtomicU32,
}

impl Case {
    pub(crate) fn engine(&self) -> &'static str {
        self.name
    }

    /// Opens it a second time, as another process would.
    pub(crate) async fn open_again(&self) -> Db {
        open(&self.settings).await
    }

    /// A database that nobody has made yet.
    pub(crate) fn unmade(&self) -> Settings {
        let url = match (self.server, self.db.engine()) {
            (Some(pooled), _) => format!("{}/fresh_{}", pooled.pooler.server_url(), pooled.next()),
            (None, Engine::Postgres) => testkit::fresh_postgres_url(),
            (None, Engine::Sqlite) => format!("{}_fresh", self.settings.url.expose()),
        };
        Settings { transaction_pooling: self.settings.transaction_pooling, ..Settings::new(url) }
    }
}

impl Pooled {
    fn get() -> &'static Self {
        static POOLED: OnceLock<Pooled> = OnceLock::new();
        POOLED.get_or_init(|| {
            let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
            let server = Postgres::start(&options).unwrap_or_else(|failure| panic!("{failure}"));
            let pooler = PgBouncer::start(&server).unwrap_or_else(|failure| panic!("{failure}"));
            Self { pooler, _server: server, made: AtomicU32::new(0) }
        })
    }

    fn next(&self) -> u32 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }
}

/// One database on each, with `sets` applied.
pub(crate) async fn databases(sets: &[&'static Migrations]) -> Vec<Case> {
    let mut cases: Vec<Case> = testkit::databases(sets)
        .await
        .into_iter()
        .map(|test| Case {
            db: test.db.clone(),
            settings: Settings::new(test.url()),
            name: test.engine(),
            server: None,
            _kept: Some(test),
        })
        .collect();
    cases.push(pooled(sets).await);
    cases
}

async fn pooled(sets: &[&'static Migrations]) -> Case {
    let server = Pooled::get();
    let name = format!("pooled_{}", server.next());
    let url = format!(
        "{}/postgres?options=-c%20search_path%3D{name}&application_name={name}",
        server.pooler.server_url()
    );
    let settings = Settings { transaction_pooling: true, ..Settings::new(url) };
    let set_up = open(&settings).await;
    let create: &'static str = format!("create schema {name}").leak();
    let created = set_up
        .write::<_, Error, _>(move |tx| Box::pin(async move { tx.execute(create, &[]).await }));
    created.await.unwrap();
    set_up.migrate(sets).await.unwrap();
    set_up.close().await;
    let db = open(&settings).await;
    Case { db, settings, name: "pooled", server: Some(server), _kept: None }
}

async fn open(settings: &Settings) -> Db {
    Db::open(settings).await.unwrap_or_else(|error| panic!("{error}"))
}
