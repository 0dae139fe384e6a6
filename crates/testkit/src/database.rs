//! A fresh, migrated database a test, on either engine.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use db::{Db, Engine, Migrations, Settings};
use infra::{Postgres, PostgresOptions};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::servers::named;

/// Where the tests' schemas are. Opening it makes it.
const DATABASE: &str = "boxoffice_test";

/// A database of its own for one test. Dropped, it is removed.
pub struct TestDb {
    /// The open database, migrated.
    pub db: Db,
    url: String,
    /// Kept for what dropping them does.
    _files: Option<TempDir>,
    _schema: Option<Schema>,
}

impl TestDb {
    /// The engine's name, for messages.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.db.engine() {
            Engine::Postgres => "postgres",
            Engine::Sqlite => "sqlite",
        }
    }

    /// Where it is, for a second opening or another process.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens it a second time, as another process would.
    pub async fn open_again(&self) -> Db {
        open(&self.url).await
    }
}

/// One database on each engine, with `sets` applied.
pub async fn databases(sets: &[&'static Migrations]) -> Vec<TestDb> {
    vec![sqlite(sets).await, postgres(sets).await]
}

/// A SQLite file in a directory of its own, with `sets` applied.
pub async fn sqlite(sets: &[&'static Migrations]) -> TestDb {
    let files = TempDir::new().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
    let url = format!("sqlite:{}", files.path().join("test.sqlite").display());
    let db = open(&url).await;
    migrate(&db, sets).await;
    TestDb { db, url, _files: Some(files), _schema: None }
}

/// A PostgreSQL schema of its own, with `sets` applied, in the cluster that
/// `BOXOFFICE_TEST_POSTGRES` names, else in a private one that this process starts. A schema is
/// made far faster than a database; the url makes it the only one its connections see, and gives
/// them its name.
pub async fn postgres(sets: &[&'static Migrations]) -> TestDb {
    let server = Server::get();
    let name = server.fresh_name();
    let seen = format!("options=-c%20search_path%3D{name}&application_name={name}");
    let url = server.url_of(DATABASE, &seen);
    let setup = open(&url).await;
    // Statements are static texts; a test process may leak a few bytes.
    let create: &'static str = format!("CREATE SCHEMA {name}").leak();
    let created = setup
        .write::<_, db::Error, _>(move |tx| Box::pin(async move { tx.execute(create, &[]).await }));
    created.await.unwrap_or_else(|error| panic!("{create}: {error}"));
    migrate(&setup, sets).await;
    setup.close().await;
    TestDb { db: open(&url).await, url, _files: None, _schema: Some(Schema { name, server }) }
}

/// The url of a PostgreSQL database that nobody has made yet; opening it makes it. For tests that
/// need whole databases, several to a system. They stay until the cluster goes.
#[must_use]
pub fn fresh_postgres_url() -> String {
    let server = Server::get();
    server.url_of(&server.fresh_name(), "")
}

/// With `BOXOFFICE_TEST_POOLING` set, as behind a pooler in transaction mode: nothing prepared.
async fn open(url: &str) -> Db {
    let transaction_pooling = named("BOXOFFICE_TEST_POOLING").is_some();
    let opened = Db::open(&Settings { transaction_pooling, ..Settings::new(url) }).await;
    opened.unwrap_or_else(|error| panic!("{url} can't be opened: {error}"))
}

async fn migrate(db: &Db, sets: &[&'static Migrations]) {
    let migrated = db.migrate(sets).await;
    migrated.unwrap_or_else(|error| panic!("{error}, on {:?}", db.engine()));
}

/// A schema that goes when this does, where the cluster stays behind us.
struct Schema {
    name: String,
    server: &'static Server,
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Some(janitor) = &self.server.janitor {
            let janitor = janitor.lock().unwrap_or_else(PoisonError::into_inner);
            let _exiting = janitor.send(std::mem::take(&mut self.name));
        }
    }
}

/// The cluster that all tests of this process share.
struct Server {
    url: String,
    /// Ends with the process.
    _own: Option<Postgres>,
    /// Drops schemas in a cluster that is not ours.
    janitor: Option<Mutex<mpsc::Sender<String>>>,
    made: AtomicU64,
    /// Tells this process's databases from those of others, past and present.
    tag: String,
}

impl Server {
    fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::find_or_start)
    }

    #[expect(clippy::disallowed_methods, reason = "a test process is named by the time it starts")]
    fn find_or_start() -> Self {
        let shared = named("BOXOFFICE_TEST_POSTGRES");
        let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
        let start = || Postgres::start(&options).unwrap_or_else(|error| panic!("{error}"));
        let own = shared.is_none().then(start);
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let started = since_epoch.unwrap_or_default().as_micros();
        let janitor = shared.as_deref().map(|url| Mutex::new(start_janitor(url)));
        let own_url = own.as_ref().map(Postgres::url);
        Self {
            url: shared.or(own_url).unwrap_or_default(),
            _own: own,
            janitor,
            made: AtomicU64::new(0),
            tag: format!("{started:x}_{}", std::process::id()),
        }
    }

    fn fresh_name(&self) -> String {
        format!("test_{}_{}", self.tag, self.made.fetch_add(1, Ordering::Relaxed))
    }

    fn url_of(&self, database: &str, parameters: &str) -> String {
        url_of(&self.url, database, parameters)
    }
}

/// The url of `database` in the cluster of `url`, with more parameters.
fn url_of(url: &str, database: &str, parameters: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let host = rest.split('/').next().unwrap_or(rest);
    let all = [query, parameters].into_iter().filter(|part| !part.is_empty());
    let all = all.collect::<Vec<_>>().join("&");
    let mark = if all.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}/{database}{mark}{all}")
}

/// A thread that drops schemas, since a `Drop` can't wait for a server. What is left when the
/// process ends goes with the cluster.
fn start_janitor(url: &str) -> mpsc::Sender<String> {
    let (sender, names) = mpsc::channel::<String>();
    let url = url_of(url, DATABASE, "");
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        for name in names {
            let _dropped = runtime.block_on(drop_schema(&url, &name));
        }
    };
    thread::spawn(work);
    sender
}

async fn drop_schema(url: &str, name: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let statement = format!("DROP SCHEMA IF EXISTS {name} CASCADE");
    let work = async move {
        client.batch_execute(&statement).await // dropping the client then ends the connection
    };
    let (dropped, _ended) = tokio::join!(work, connection);
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_host_and_parameters() {
        let url = "postgres://me:secret@host:5432/postgres?sslmode=disable";
        let other = url_of(url, "test", "application_name=a");
        assert_eq!(other, "postgres://me:secret@host:5432/test?sslmode=disable&application_name=a");
        assert_eq!(url_of("postgres://host", "test", ""), "postgres://host/test");
    }

    #[tokio::test]
    async fn each_test_has_tables_of_its_own() {
        static TABLES: Migrations = Migrations {
            owner: "test",
            postgres: &[db::Migration { name: "0001", sql: "create table t (id bigint)" }],
            sqlite: &[db::Migration { name: "0001", sql: "create table t (id integer)" }],
        };
        for (one, other) in databases(&[&TABLES]).await.iter().zip(databases(&[&TABLES]).await) {
            let write = one.db.write::<_, db::Error, _>(|tx| {
                Box::pin(async move { tx.execute("insert into t values (1)", &[]).await })
            });
            assert_eq!(write.await.expect("written"), 1);
            let read = other.db.read::<_, db::Error, _>(|tx| {
                Box::pin(async move { tx.query("select id from t", &[]).await })
            });
            assert!(read.await.expect("read").is_empty(), "{}", one.engine());
        }
    }
}
