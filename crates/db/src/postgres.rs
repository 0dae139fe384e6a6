//! PostgreSQL: tokio-postgres behind deadpool.

mod codec;
mod fault;
mod migrations;
mod tx;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use tokio_postgres::{Config, NoTls, error::SqlState};

pub(crate) use self::tx::PgTx;
use crate::{Body, Error, Settings, Tx, stats::Counters, tx::Inner};

/// How often a transaction that lost against another is run in all.
const MAX_TRIES: u32 = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After how long a server that no longer answers the network counts as gone.
const DEAD_PEER_TIMEOUT: Duration = Duration::from_secs(30);
/// A body awaits nothing but its transaction, so this only ever ends a session whose process hangs.
const IDLE_IN_TRANSACTION_MS: u64 = 60_000;
const MAX_CREATE_TRIES: u32 = 20;
/// Plans are kept with their connection. One made while a table was small would read all of it ever
/// after, however large it has grown; so an index is used wherever there is one. Statements without
/// any then look expensive, and must not be compiled for that.
const PLANNING: &str = "-c enable_seqscan=off -c jit=off";

#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool,
    counters: Arc<Counters>,
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Read,
}

impl Mode {
    fn begin(self) -> &'static str {
        match self {
            Self::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            Self::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

impl Postgres {
    pub(crate) async fn open(settings: &Settings, counters: Arc<Counters>) -> Result<Self, Error> {
        // The parser's own text may quote the password.
        let not_understood = "the postgres url can't be understood";
        let mut config: Config = settings
            .url
            .expose()
            .parse()
            .map_err(|_| Error::Unavailable(not_understood.to_owned()))?;
        let timeout_ms = settings.statement_timeout_ms;
        let options = format!(
            "{} -c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms} \
             -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS} {PLANNING}",
            config.get_options().unwrap_or_default()
        );
        config.options(options.trim_start());
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(DEAD_PEER_TIMEOUT).keepalives_idle(DEAD_PEER_TIMEOUT);
        }
        let manager = Manager::from_config(
            config.clone(),
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(settings.max_connections.max(1))
            .wait_timeout(Some(Duration::from_millis(timeout_ms)))
            .create_timeout(Some(2 * CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        let postgres = Self { pool, counters };
        match postgres.pool.get().await {
            Ok(_) => {}
            Err(deadpool_postgres::PoolError::Backend(error))
                if settings.create && is_missing_database(&error) =>
            {
                create_database(config).await?;
                drop(postgres.connection().await?);
            }
            Err(error) => return Err(fault::no_connection(&error)),
        }
        Ok(postgres)
    }

    async fn connection(&self) -> Result<Object, Error> {
        self.pool.get().await.map_err(|error| fault::no_connection(&error))
    }

    /// Runs `body` in a transaction of `mode`, again after a conflict. To be called in a task of
    /// its own for writes: dropped half way, it rolls back.
    pub(crate) async fn transact<T, E, F>(&self, mode: Mode, body: &F) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Sync,
    {
        for attempt in 0..MAX_TRIES {
            if attempt > 0 {
                self.back_off(attempt).await;
            }
            let mut tx = Tx(Inner::Postgres(PgTx::new(self.connection().await?, mode)));
            let run = AssertUnwindSafe(async { body(&mut tx).await }).catch_unwind();
            let result = run.await.unwrap_or_else(|_| Err(Error::panicked().into()));
            let Inner::Postgres(tx) = &mut tx.0 else { continue };
            if let Some(result) = self.end(tx, mode, result).await {
                return result;
            }
        }
        Err(Error::Conflict.into())
    }

    /// Commits or rolls back; nothing if the transaction lost against another and is to be run
    /// again.
    async fn end<T, E: From<Error>>(
        &self,
        tx: &mut PgTx,
        mode: Mode,
        result: Result<T, E>,
    ) -> Option<Result<T, E>> {
        let counters = &self.counters;
        counters.statements.add(tx.statements);
        let conflict = matches!(tx.failure(), Some(Error::Conflict));
        let ended = match result {
            Ok(value) => tx.commit().await.map(|()| value).map_err(Ok),
            Err(error) => {
                tx.rollback().await;
                Err(Err(error))
            }
        };
        match ended {
            Ok(value) => {
                if mode == Mode::Write {
                    counters.writes.add(1);
                    counters.commits.add(1);
                } else {
                    counters.reads.add(1);
                }
                Some(Ok(value))
            }
            Err(Ok(Error::Conflict)) => None,
            Err(_) if conflict => None,
            Err(error) => {
                counters.rollbacks.add(1);
                Some(Err(error.map_or_else(|own| own, E::from)))
            }
        }
    }

    /// Waits so that those who collided don't meet again: twice as long each time, and each a
    /// different while.
    async fn back_off(&self, attempt: u32) {
        let count = self.counters.retries.add(1);
        let spread = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54; // 0 to 1023, far apart
        let limit_us = 1_000_u64 << attempt.min(7);
        let wait = Duration::from_micros(limit_us / 2 + limit_us * spread / 1_024);
        tokio::time::sleep(wait).await;
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

fn is_missing_database(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_CATALOG_NAME)
}

/// Creates the database that `config` names. Two processes may try at once.
async fn create_database(mut config: Config) -> Result<(), Error> {
    let name = config.get_dbname().or_else(|| config.get_user()).unwrap_or_default().to_owned();
    config.dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.map_err(|e| fault::error(&e))?;
    let create = async move {
        let statement = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        for _ in 0..MAX_CREATE_TRIES {
            let error = match client.batch_execute(&statement).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.code() {
                // Somebody else was faster; the second is what a race in the catalog looks like.
                Some(&SqlState::DUPLICATE_DATABASE | &SqlState::UNIQUE_VIOLATION) => return Ok(()),
                // Somebody else is copying the template right now.
                Some(&SqlState::OBJECT_IN_USE) => tokio::time::sleep(CONNECT_TIMEOUT / 50).await,
                _ => return Err(fault::error(&error)),
            }
        }
        Err(Error::Unavailable("the database can't be created: template in use".to_owned()))
    };
    // The connection ends when the client inside `create` is dropped.
    let (created, _ended) = futures_util::future::join(create, connection).await;
    created
}
