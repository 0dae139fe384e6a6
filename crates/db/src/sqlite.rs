//! SQLite: one writer thread a file with group commit, read-only WAL connections for reads.

mod fault;
mod migrations;
mod tx;
mod writer;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;

pub(crate) use self::tx::LiteTx;
use self::{
    tx::lite,
    writer::{Message, Write, Writer},
};
use crate::{Body, Error, Settings, Tx, stats::Counters, tx::Inner};

/// How long to wait for another process that has the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// More texts than a service has.
const STATEMENT_CACHE: usize = 256;
/// Pages of the write-ahead log after which it is copied back; 16 MiB, so that a busy file is
/// copied seldom.
const CHECKPOINT_PAGES: u32 = 4_096;
/// What the log may keep of the disk once it was copied back.
const LOG_LIMIT_BYTES: u32 = 64 << 20;
/// Small as well: after a page has moved within a tree, a commit looks through all that are kept.
const WRITER_CACHE_KIB: u32 = 4 << 10;
/// Small: a reader forgets its pages whenever something was committed, and finds them in the
/// system's memory again.
const READER_CACHE_KIB: u32 = 512;
const MMAP_BYTES: u32 = 256 << 20;

pub(crate) struct Sqlite {
    writer: mpsc::Sender<Message>,
    readers: Arc<Readers>,
    counters: Arc<Counters>,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Tx>>,
    permits: Arc<Semaphore>,
}

impl Sqlite {
    /// Opens the file, making it and its directory where missing.
    pub(crate) async fn open(
        path: PathBuf,
        settings: &Settings,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let file = path.clone();
        let opened = tokio::task::spawn_blocking(move || open_writer(&file)).await;
        let connection = opened.map_err(|error| Error::Unavailable(error.to_string()))??;
        let tx = Tx(Inner::Sqlite(LiteTx::new(connection)));
        let writer = Writer::start(tx, settings.max_waiting, Arc::clone(&counters))?;
        let readers = Arc::new(Readers {
            path,
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(settings.max_connections.max(1))),
        });
        Ok(Self { writer, readers, counters })
    }

    /// Runs `body`, which decides so many requests.
    pub(crate) async fn write<T, E, F>(&self, requests: usize, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.post(Message::Write(Box::new(Write { body, requests, result: None, caller })))?;
        answer.await.unwrap_or_else(|_| Err(Error::closed().into()))
    }

    pub(crate) async fn read<T, E, F>(&self, tasks: &TaskTracker, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + 'static,
    {
        let permits = Arc::clone(&self.readers.permits);
        let permit = permits.acquire_owned().await.map_err(|_| Error::closed())?;
        let readers = Arc::clone(&self.readers);
        let counters = Arc::clone(&self.counters);
        let read = tasks.spawn_blocking(move || {
            let tx = readers.take()?;
            let result = readers.run(tx, &counters, &body);
            drop(permit);
            result
        });
        read.await.unwrap_or_else(|_| Err(Error::closed().into()))
    }

    /// As [`Sqlite::read`], by the caller's own thread if a connection is free.
    pub(crate) async fn read_here<T, E, F>(&self, tasks: &TaskTracker, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Send + 'static,
    {
        let Ok(permit) = self.readers.permits.try_acquire() else {
            return self.read(tasks, body).await;
        };
        let Some(tx) = self.readers.idle() else {
            drop(permit);
            return self.read(tasks, body).await;
        };
        let _under_way = tasks.token();
        self.readers.run(tx, &self.counters, &body)
    }

    /// Runs `work` on the writer's connection, between two batches.
    async fn exclusive<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (caller, answer) = oneshot::channel();
        self.post(Message::Exclusive(Box::new(move |connection| {
            let _gone = caller.send(work(connection));
        })))?;
        answer.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    fn post(&self, message: Message) -> Result<(), Error> {
        self.writer.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::overloaded(),
            mpsc::error::TrySendError::Closed(_) => Error::closed(),
        })
    }

    /// Waits until what was queued is committed, then closes the file. Reads must have ended.
    pub(crate) async fn close(&self) {
        self.readers.permits.close();
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let (closed, answer) = oneshot::channel();
        if self.writer.send(Message::Close(closed)).await.is_ok() {
            let _closed = answer.await;
        }
    }
}

impl Readers {
    fn idle(&self) -> Option<Tx> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn take(&self) -> Result<Tx, Error> {
        if let Some(tx) = self.idle() {
            return Ok(tx);
        }
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let settings = format!(
            "PRAGMA query_only = on; PRAGMA cache_size = -{READER_CACHE_KIB};
             PRAGMA mmap_size = {MMAP_BYTES}; PRAGMA temp_store = memory;"
        );
        connection.execute_batch(&settings).map_err(|error| fault::error(&connection, &error))?;
        Ok(Tx(Inner::Sqlite(LiteTx::new(connection))))
    }

    fn run<T, E, F>(&self, mut tx: Tx, counters: &Counters, body: &F) -> Result<T, E>
    where
        E: From<Error>,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E>,
    {
        let result = read(&mut tx, body);
        counters.statements.add(lite(&mut tx)?.renew());
        let counter = if result.is_ok() { &counters.reads } else { &counters.rollbacks };
        counter.add(1);
        self.give_back(tx);
        result
    }

    /// Keeps the connection for the next read, unless it is still in a transaction.
    fn give_back(&self, mut tx: Tx) {
        if lite(&mut tx).is_ok_and(|lite| lite.connection.is_autocommit()) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(tx);
        }
    }
}

fn read<T, E, F>(tx: &mut Tx, body: &F) -> Result<T, E>
where
    E: From<Error>,
    F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E>,
{
    lite(tx)?.control("BEGIN")?;
    let result = tx::run(body, tx);
    // Failing to end it is seen by `give_back`, and changes nothing that was read.
    let _ended = lite(tx)?.control("ROLLBACK");
    result
}

fn open_writer(path: &Path) -> Result<Connection, Error> {
    let _alone = lock_directory(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = connect(path, flags)?;
    // Full: a commit is flushed before it is answered. The log's checkpoints don't hold up readers.
    let settings = format!(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA foreign_keys = on;
         PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA mmap_size = {MMAP_BYTES};
         PRAGMA temp_store = memory; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
         PRAGMA journal_size_limit = {LOG_LIMIT_BYTES}; PRAGMA optimize = 0x10002;"
    );
    connection.execute_batch(&settings).map_err(|error| fault::error(&connection, &error))?;
    Ok(connection)
}

/// Makes the file's directory where missing, and holds it against others who open a file in it:
/// SQLite does not wait for another process that makes the same file a WAL file at this moment.
fn lock_directory(path: &Path) -> Result<File, Error> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let locked = std::fs::create_dir_all(directory).and_then(|()| {
        let held = File::open(directory)?;
        held.lock()?;
        Ok(held)
    });
    locked.map_err(|error| Error::Unavailable(format!("{}: {error}", directory.display())))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| fault::error(&connection, &error))?;
    // A statement is planned once, whatever is bound to it; else it is compiled anew each time that
    // what a `limit` is bound to might change the plan.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|error| fault::error(&connection, &error))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_its_limit_is_bound_to() {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = connect(Path::new(":memory:"), flags).unwrap();
        connection.execute_batch("create table t (a integer primary key)").unwrap();
        let mut statement =
            connection.prepare("select a from t where a > ?1 order by a limit ?2").unwrap();
        for limit in 1..4 {
            assert!(statement.query((0, limit)).unwrap().next().unwrap().is_none());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
