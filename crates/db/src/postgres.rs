//! PostgreSQL: tokio-postgres behind deadpool.

mod codec;
mod fault;
mod fence;
mod migrations;
mod replica;
mod server;
mod text;
mod tls;
mod tx;
mod unnamed;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use deadpool_postgres::PoolError;
use futures_util::FutureExt as _;
use tokio_postgres::error::SqlState;

pub(crate) use self::tx::PgTx;
use self::{
    replica::Replica,
    server::{Address, CONNECT_TIMEOUT, Server},
};
use crate::{Body, Error, ReplicaState, Settings, Tx, stats::Counters, tx::Inner};

/// How often a transaction that lost against another is run in all.
const MAX_TRIES: u32 = 8;

#[derive(Clone)]
pub(crate) struct Postgres {
    primary: Server,
    replica: Option<Replica>,
    counters: Arc<Counters>,
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Read,
    /// One statement that reads: it has its snapshot without a transaction around it.
    Single,
}

impl Postgres {
    pub(crate) async fn open(settings: &Settings, counters: Arc<Counters>) -> Result<Self, Error> {
        let address = Address::read(&settings.url, settings).await?;
        let wait = Duration::from_millis(settings.statement_timeout_ms);
        let primary = address.server(settings.max_connections, wait, 2 * CONNECT_TIMEOUT)?;
        if settings.create && settings.transaction_pooling {
            // A pooler that was asked for a database in vain lets everyone wait for a while, so it
            // is asked for this one only once it is there. It need not know of `postgres` at all.
            let _unknown = address.create_database().await;
        }
        match primary.pool.get().await {
            Ok(_) => {}
            Err(PoolError::Backend(error)) if settings.create && is_missing_database(&error) => {
                address.create_database().await?;
                drop(primary.connection().await?);
            }
            Err(error) => return Err(fault::no_connection(&error)),
        }
        let replica = match &settings.replica {
            Some(url) => {
                let replica = Address::read(url, settings).await?;
                Some(Replica::start(&replica, &address, settings.max_connections)?)
            }
            None => None,
        };
        Ok(Self { primary, replica, counters })
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
            let client = self.primary.connection().await?;
            let session = Arc::clone(&self.primary.session);
            let mut tx = Tx(Inner::Postgres(PgTx::new(client, session, mode)));
            let result = run(&mut tx, body).await;
            let Inner::Postgres(tx) = &mut tx.0 else { continue };
            if let Some(result) = self.end(tx, mode, result).await {
                return result;
            }
        }
        Err(Error::Conflict.into())
    }

    /// As [`Postgres::transact`] for what reads, on the replica if that is up to it.
    pub(crate) async fn view<T, E, F>(&self, mode: Mode, body: &F) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Sync,
    {
        if let Some(replica) = &self.replica {
            if let Some(result) = self.view_on(replica, body).await {
                self.counters.replica_reads.add(1);
                return result;
            }
            self.counters.replica_fallbacks.add(1);
        }
        self.transact(mode, body).await
    }

    /// Nothing if the replica could not answer.
    async fn view_on<T, E, F>(&self, replica: &Replica, body: &F) -> Option<Result<T, E>>
    where
        T: Send,
        E: From<Error> + Send,
        F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E> + Sync,
    {
        let mut tx = Tx(Inner::Postgres(replica.begin().await?));
        let result = run(&mut tx, body).await;
        match tx.failure() {
            Some(Error::Unavailable(_)) => return replica.failed(),
            // The primary has removed what was being read, and the replica followed.
            Some(Error::Conflict) => return None,
            _ => replica.answered(),
        }
        let Inner::Postgres(tx) = &mut tx.0 else { return None };
        self.end(tx, Mode::Read, result).await
    }

    /// How the replica is, if there is one.
    pub(crate) async fn examine_replica(&self) -> Option<Result<ReplicaState, Error>> {
        match &self.replica {
            Some(replica) => Some(replica.examine().await),
            None => None,
        }
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
        self.primary.pool.close();
        if let Some(replica) = &self.replica {
            replica.close();
        }
    }
}

async fn run<T, E, F>(tx: &mut Tx, body: &F) -> Result<T, E>
where
    E: From<Error>,
    F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E>,
{
    let run = AssertUnwindSafe(async { body(tx).await }).catch_unwind();
    run.await.unwrap_or_else(|_| Err(Error::panicked().into()))
}

fn is_missing_database(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_CATALOG_NAME)
}
