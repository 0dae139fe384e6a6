#![doc = include_str!("../README.md")]
//! The facade itself: opening, transactions, closing.

mod coalescer;
mod error;
mod examine;
mod history;
mod many;
mod migrate;
mod postgres;
mod row;
mod sqlite;
mod stats;
mod tx;
mod value;

use std::{
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::task::TaskTracker;

pub use coalescer::{Coalescer, CoalescerSettings};
pub use error::Error;
pub use examine::{Examination, ReplicaState};
pub use history::History;
pub use migrate::{Migration, Migrations};
pub use row::{FromValue, Row};
pub use stats::Stats;
pub use tx::{Sql, Tx};
pub use value::{Json, Value};

use crate::{
    postgres::{Mode, Postgres},
    sqlite::Sqlite,
    stats::Counters,
};

/// The least time from one batch of a rush to the next. Fewer commits write fewer pages, and
/// statements for many rows cost less than many; who is alone waits for nobody. As `commit_delay`
/// of PostgreSQL, where it sits before the flush only.
const SQLITE_PACE: Duration = Duration::from_millis(5);
/// Each statement costs far more there, however many rows it has.
const POSTGRES_PACE: Duration = Duration::from_millis(10);
/// How many requests in a batch are a rush. As `commit_siblings` of PostgreSQL.
const RUSH: usize = 8;
/// How many requests in a batch of SQLite's writer are a crowd: after it the writer rests for as
/// long as it took, as processors that are busy make it longer, and larger batches save them.
const CROWD: usize = 32;
/// The longest such rest, for a disk that is slow is not helped by waiting.
const SQLITE_REST: Duration = Duration::from_millis(10);

/// What a transaction body returns: a boxed future over the transaction it borrows.
pub type Body<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;

/// Which engine is behind a [`Db`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL 15 or later.
    Postgres,
    /// SQLite 3.45 or later, one file.
    Sqlite,
}

/// A database of one service. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    backend: Backend,
    /// The tasks in which transactions live, so that no caller takes one along when it goes.
    tasks: TaskTracker,
    /// The most transactions that may be under way or waiting.
    max_tasks: usize,
    closed: AtomicBool,
    counters: Arc<Counters>,
}

enum Backend {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

/// Where a database is and how to use it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `postgres://user:password@host:port/database` or `sqlite:/path/to/file.sqlite`.
    pub url: kernel::Secret<String>,
    /// Whether a PostgreSQL database that is missing is made.
    pub create: bool,
    /// The most connections to keep: PostgreSQL's pool, SQLite's readers.
    pub max_connections: usize,
    /// The most transactions that may wait for SQLite's writer, or for one of PostgreSQL's
    /// connections; more are refused with [`Error::Overloaded`].
    pub max_waiting: usize,
    /// After how long a statement is given up (PostgreSQL's `statement_timeout`), in milliseconds.
    pub statement_timeout_ms: u64,
    /// After how long a wait for a lock is given up (PostgreSQL's `lock_timeout`), in milliseconds.
    pub lock_timeout_ms: u64,
    /// The same database on a streaming replica of PostgreSQL, which then answers [`Db::view`].
    pub replica: Option<kernel::Secret<String>>,
    /// Whether the urls lead to a pooler in transaction mode, such as PgBouncer, so that nothing
    /// may be prepared or set for longer than a transaction.
    pub transaction_pooling: bool,
    /// PEM file of the certificates that PostgreSQL's certificate must be signed by.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// The settings that suit most services, for the database at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: kernel::Secret::new(url.into()),
            create: true,
            max_connections: 8,
            max_waiting: 16_384,
            statement_timeout_ms: 10_000,
            lock_timeout_ms: 5_000,
            replica: None,
            transaction_pooling: false,
            ca_file: None,
        }
    }
}

impl Db {
    /// Opens the database, creating SQLite's file, or PostgreSQL's database, where it is missing.
    ///
    /// # Errors
    /// If the URL's scheme is neither `postgres` nor `sqlite`, or the database can't be reached.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        let url = settings.url.expose();
        let backend = if let Some(path) = url.strip_prefix("sqlite:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            Backend::Sqlite(Sqlite::open(path, settings, Arc::clone(&counters)).await?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Backend::Postgres(Postgres::open(settings, Arc::clone(&counters)).await?)
        } else {
            let text = "the database's url begins with neither postgres:// nor sqlite:";
            return Err(Error::Unavailable(text.to_owned()));
        };
        Ok(Self(Arc::new(Inner {
            backend,
            tasks: TaskTracker::new(),
            max_tasks: settings.max_connections.saturating_add(settings.max_waiting),
            closed: AtomicBool::new(false),
            counters,
        })))
    }

    /// Which engine this is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.0.backend {
            Backend::Postgres(_) => Engine::Postgres,
            Backend::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Brings the schema up to date. Safe to run twice, and by two processes at once.
    ///
    /// # Errors
    /// If a migration fails, or one that was applied has changed since.
    pub async fn migrate(&self, sets: &[&Migrations]) -> Result<(), Error> {
        self.admit()?;
        match &self.0.backend {
            Backend::Postgres(postgres) => postgres.migrate(sets).await,
            Backend::Sqlite(sqlite) => sqlite.migrate(sets).await,
        }
    }

    /// Runs `body` in a transaction and commits it; the answer comes only once it is durable.
    /// `body` is run again after a serialization failure or deadlock, so it must not have effects
    /// outside the transaction, and may await nothing but `tx`. It runs to its end even when the
    /// caller is dropped. An `Err` rolls back.
    ///
    /// # Errors
    /// What `body` returned, or why the transaction could not be committed.
    pub async fn write<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + Sync + 'static,
    {
        self.admit()?;
        match &self.0.backend {
            Backend::Postgres(postgres) => {
                let postgres = postgres.clone();
                let task = async move { postgres.transact(Mode::Write, &body).await };
                let result = self.0.tasks.spawn(task).await;
                result.unwrap_or_else(|_| Err(Error::closed().into()))
            }
            Backend::Sqlite(sqlite) => sqlite.write(1, body).await,
        }
    }

    /// As [`Db::write`], for a caller that is a task of ours already, and decides so many requests.
    async fn write_here<T, E, F>(&self, requests: usize, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + Sync + 'static,
    {
        if self.is_closed() {
            return Err(Error::closed().into());
        }
        match &self.0.backend {
            Backend::Postgres(postgres) => postgres.transact(Mode::Write, &body).await,
            Backend::Sqlite(sqlite) => sqlite.write(requests, body).await,
        }
    }

    /// Runs `body` on a consistent, read-only snapshot. The same rules hold as for [`Db::write`],
    /// but that a read ends with its caller.
    ///
    /// # Errors
    /// What `body` returned, or why the database could not be read.
    pub async fn read<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + Sync + 'static,
    {
        self.admit()?;
        match &self.0.backend {
            Backend::Postgres(postgres) => {
                let _under_way = self.0.tasks.token();
                postgres.transact(Mode::Read, &body).await
            }
            Backend::Sqlite(sqlite) => sqlite.read(&self.0.tasks, body).await,
        }
    }

    /// As [`Db::read`], for what only answers people: a replica may serve it, if there is one. It
    /// sees all that anybody had committed before the call, in whatever process.
    ///
    /// # Errors
    /// What `body` returned, or why the database could not be read.
    pub async fn view<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + Sync + 'static,
    {
        self.admit()?;
        match &self.0.backend {
            Backend::Postgres(postgres) => {
                let _under_way = self.0.tasks.token();
                postgres.view(Mode::Read, &body).await
            }
            Backend::Sqlite(sqlite) => sqlite.read(&self.0.tasks, body).await,
        }
    }

    /// As [`Db::view`], for the one row that a statement finds by its key, if there is one. On
    /// SQLite it is looked for by the caller's own thread: not for a statement that looks through
    /// much.
    ///
    /// # Errors
    /// Why the database could not be read; [`Error::Statement`] if there was more than one row.
    pub async fn find(
        &self,
        sql: impl Into<Sql>,
        params: Vec<Value>,
    ) -> Result<Option<Row>, Error> {
        let sql = sql.into();
        self.single(move |tx| {
            let params = params.clone();
            Box::pin(async move { tx.query_opt(sql, &params).await })
        })
        .await
    }

    /// As [`Db::view`], for a body of one statement.
    async fn single<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + Sync + 'static,
    {
        self.admit()?;
        match &self.0.backend {
            Backend::Postgres(postgres) => {
                let _under_way = self.0.tasks.token();
                postgres.view(Mode::Single, &body).await
            }
            Backend::Sqlite(sqlite) => sqlite.read_here(&self.0.tasks, body).await,
        }
    }

    /// What was done since the database was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.stats()
    }

    /// Waits for transactions under way, then closes. Later calls fail with [`Error::Unavailable`].
    pub async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.tasks.close();
        self.0.tasks.wait().await;
        match &self.0.backend {
            Backend::Postgres(postgres) => postgres.close(),
            Backend::Sqlite(sqlite) => sqlite.close().await,
        }
    }

    fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    fn admit(&self) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        if self.0.tasks.len() >= self.0.max_tasks {
            return Err(Error::overloaded());
        }
        Ok(())
    }
}
