//! A fresh, migrated database a test, on either engine.

use std::{
    collections::HashSet,
    sync::{
        OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use db::{Db, Engine, Migrations, Settings};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::cluster::Cluster;

/// A database of its own for one test. Dropped, it is removed.
pub struct TestDb {
    /// The open database, migrated.
    pub db: Db,
    url: String,
    /// Kept for what dropping them does.
    _files: Option<TempDir>,
    _database: Option<Database>,
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
    TestDb { db, url, _files: Some(files), _database: None }
}

/// A PostgreSQL database, with `sets` applied: in the cluster that `BOXOFFICE_TEST_POSTGRES` names,
/// else in a private one that this process starts.
pub async fn postgres(sets: &[&'static Migrations]) -> TestDb {
    let server = Server::get();
    let template = server.template(sets).await;
    let name = server.fresh_name();
    server.admin(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    let url = server.url_of(&name);
    let db = open(&url).await;
    TestDb { db, url, _files: None, _database: Some(Database { name, server }) }
}

async fn open(url: &str) -> Db {
    let opened = Db::open(&Settings::new(url)).await;
    opened.unwrap_or_else(|error| panic!("{url} can't be opened: {error}"))
}

async fn migrate(db: &Db, sets: &[&'static Migrations]) {
    let migrated = db.migrate(sets).await;
    migrated.unwrap_or_else(|error| panic!("{error}, on {:?}", db.engine()));
}

/// A database that goes when this does, where the cluster stays behind us.
struct Database {
    name: String,
    server: &'static Server,
}

impl Drop for Database {
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
    /// Ends with the process, and the cluster with it.
    _cluster: Option<Cluster>,
    /// Drops databases in a cluster that is not ours.
    janitor: Option<std::sync::Mutex<mpsc::Sender<String>>>,
    templates: Mutex<HashSet<String>>,
    made: AtomicU64,
    /// Tells this process's databases from those of others, past and present.
    tag: String,
}

impl Server {
    fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::find_or_start)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test process is configured by its environment, and named by the time it starts"
    )]
    fn find_or_start() -> Self {
        let shared = std::env::var("BOXOFFICE_TEST_POSTGRES").ok().filter(|url| !url.is_empty());
        let cluster = match shared {
            Some(_) => None,
            None => Some(Cluster::start().unwrap_or_else(|error| panic!("{error}"))),
        };
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let started = since_epoch.unwrap_or_default().as_micros();
        let janitor = shared.clone().map(|url| std::sync::Mutex::new(start_janitor(url)));
        let own = cluster.as_ref().map(|cluster| cluster.url.clone());
        Self {
            url: shared.or(own).unwrap_or_default(),
            _cluster: cluster,
            janitor,
            templates: Mutex::new(HashSet::new()),
            made: AtomicU64::new(0),
            tag: format!("{started:x}_{}", std::process::id()),
        }
    }

    fn fresh_name(&self) -> String {
        format!("test_{}_{}", self.tag, self.made.fetch_add(1, Ordering::Relaxed))
    }

    fn url_of(&self, database: &str) -> String {
        let (address, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
        let host = rest.split('/').next().unwrap_or(rest);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{scheme}://{host}/{database}{mark}{query}")
    }

    /// The name of a database with `sets` applied, to be copied. Made once a cluster.
    async fn template(&self, sets: &[&'static Migrations]) -> String {
        let name = template_name(sets);
        let mut templates = self.templates.lock().await;
        if templates.contains(&name) {
            return name;
        }
        let unfinished = self.fresh_name();
        connected(&self.url, async |client| {
            // Other processes wait here until it is whole.
            execute(client, "SELECT pg_advisory_lock(hashtext('boxoffice templates'))").await;
            let known = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
            let found = client.query(&known, &[]).await;
            if !found.unwrap_or_else(|error| panic!("{known}: {error}")).is_empty() {
                return;
            }
            execute(client, &format!("CREATE DATABASE {unfinished}")).await;
            let db = open(&self.url_of(&unfinished)).await;
            migrate(&db, sets).await;
            db.close().await;
            execute(client, &format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
        })
        .await;
        templates.insert(name.clone());
        name
    }

    async fn admin(&self, statement: &str) {
        connected(&self.url, async |client| execute(client, statement).await).await;
    }
}

/// Named by what is in it, so that changed migrations make another.
fn template_name(sets: &[&'static Migrations]) -> String {
    let all = sets.iter().flat_map(|set| {
        let one = |migration: &db::Migration| {
            format!("{}/{}/{};", set.owner, migration.name, migration.checksum())
        };
        set.postgres.iter().map(one)
    });
    let text: String = all.collect();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("template_{hash:016x}")
}

async fn connected(url: &str, work: impl AsyncFnOnce(&Client)) {
    let connecting = tokio_postgres::connect(url, NoTls).await;
    let (client, connection) =
        connecting.unwrap_or_else(|error| panic!("{url} can't be reached: {error}"));
    let work = async move {
        work(&client).await;
        drop(client); // ends the connection
    };
    let ((), _ended) = tokio::join!(work, connection);
}

async fn execute(client: &Client, statement: &str) {
    let done = client.batch_execute(statement).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

/// A thread that drops databases, since a `Drop` can't wait for a server.
fn start_janitor(url: String) -> mpsc::Sender<String> {
    let (sender, names) = mpsc::channel::<String>();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        for name in names {
            let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            runtime.block_on(connected(&url, async |client| {
                // What is left goes with the cluster.
                let _dropped = client.batch_execute(&statement).await;
            }));
        }
    };
    thread::spawn(work);
    sender
}
