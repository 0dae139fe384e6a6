//! A transaction on one connection: `BEGIN` travels with the first statement, a read's end is not
//! waited for.

use deadpool_postgres::{Manager, Object, Pool};
use futures_util::{
    FutureExt as _, TryStreamExt as _,
    future::{join, try_join_all},
};
use tokio_postgres::Client;

use super::{Mode, fault};
use crate::{Error, Row, Value, row::Columns};

pub(crate) struct PgTx {
    client: Object,
    mode: Mode,
    /// Whether `BEGIN` was sent and no end was.
    open: bool,
    failed: Option<Error>,
    pub(super) statements: u64,
}

impl PgTx {
    pub(super) fn new(client: Object, mode: Mode) -> Self {
        Self { client, mode, open: false, failed: None, statements: 0 }
    }

    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<u64, Error> {
        self.admit(1)?;
        let result = async {
            let statement = self.client.prepare_cached(sql).await?;
            let begin = begin(&mut self.open, self.mode);
            after(&self.client, begin, self.client.execute_raw(&statement, params)).await
        };
        let result = result.await;
        self.note(result)
    }

    pub(crate) async fn execute_many(
        &mut self,
        sql: &'static str,
        rows: &[Vec<Value>],
    ) -> Result<u64, Error> {
        self.admit(rows.len())?;
        let result = async {
            let statement = self.client.prepare_cached(sql).await?;
            let begin = begin(&mut self.open, self.mode);
            // All are sent before the first answer is awaited, in order.
            let all = rows.iter().map(|params| self.client.execute_raw(&statement, params));
            after(&self.client, begin, try_join_all(all)).await
        };
        let result = result.await;
        Ok(self.note(result)?.into_iter().sum())
    }

    pub(crate) async fn query(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Vec<Row>, Error> {
        self.admit(1)?;
        let result = async {
            let statement = self.client.prepare_cached(sql).await?;
            let begin = begin(&mut self.open, self.mode);
            let rows = async {
                let rows = self.client.query_raw(&statement, params).await?;
                rows.map_ok(|row| Row(Columns::Postgres(row))).try_collect().await
            };
            after(&self.client, begin, rows).await
        };
        let result = result.await;
        self.note(result)
    }

    /// Makes the transaction durable. Gives the error of a statement that failed, if one did:
    /// PostgreSQL would answer `COMMIT` with a rollback.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        if let Some(error) = self.failed.take() {
            self.rollback().await;
            return Err(error);
        }
        if !self.open {
            return Ok(());
        }
        if self.mode == Mode::Read {
            self.send_rollback();
            return Ok(());
        }
        let result = self.client.batch_execute("COMMIT").await;
        // The server is out of the transaction also if it refused, and without a server there is
        // none.
        self.open = false;
        result.map_err(|error| fault::error(&error))
    }

    pub(super) async fn rollback(&mut self) {
        if self.open && self.client.batch_execute("ROLLBACK").await.is_ok() {
            self.open = false;
        }
    }

    /// Refuses statements after one has failed, as the server would.
    fn admit(&mut self, statements: usize) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(Error::Statement(format!("the transaction has failed: {error}")));
        }
        self.statements += u64::try_from(statements).unwrap_or(0);
        Ok(())
    }

    fn note<T>(&mut self, result: Result<T, tokio_postgres::Error>) -> Result<T, Error> {
        result.map_err(|error| {
            if error.as_db_error().is_some_and(fault::is_stale_plan) {
                forget_plans(&self.client);
            }
            let error = fault::error(&error);
            self.failed = Some(error.clone());
            error
        })
    }

    /// The message leaves with the first poll; its answer comes before that of any later statement.
    fn send_rollback(&mut self) {
        self.open = false;
        let _unawaited = self.client.batch_execute("ROLLBACK").now_or_never();
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        if self.open {
            self.send_rollback();
        }
    }
}

/// The text that opens the transaction, the first time.
fn begin(open: &mut bool, mode: Mode) -> Option<&'static str> {
    (!std::mem::replace(open, true)).then(|| mode.begin())
}

/// Runs `statement`, with `begin` sent ahead in the same round trip.
async fn after<T>(
    client: &Client,
    begin: Option<&'static str>,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let Some(begin) = begin else { return statement.await };
    let (begun, result) = join(client.batch_execute(begin), statement).await;
    begun?;
    result
}

/// The other connections' statements are as old as this one's.
fn forget_plans(client: &Object) {
    let pool: Option<Pool> = Object::pool(client);
    match pool.as_ref().map(Pool::manager) {
        Some(Manager { statement_caches, .. }) => statement_caches.clear(),
        None => client.statement_cache.clear(),
    }
}
