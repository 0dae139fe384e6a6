//! A transaction on one connection: `BEGIN` travels with the first statement, a read's end is not
//! waited for.

use std::sync::Arc;

use deadpool_postgres::{Manager, Object, Pool};
use futures_util::{
    FutureExt as _, TryFutureExt as _,
    future::{join, try_join_all, try_join3},
};
use tokio::time::timeout;
use tokio_postgres::{Client, Error as PgError};

use super::{
    Mode, fault,
    fence::{self, Position},
    server::Session,
    text::Text,
};
use crate::{Error, Row, Value};

pub(crate) struct PgTx {
    /// Given up once the server no longer answers.
    client: Option<Object>,
    session: Arc<Session>,
    start: Start,
    failed: Option<Error>,
    pub(super) statements: u64,
}

/// How the transaction begins.
struct Start {
    mode: Mode,
    /// How far a replica must be by then.
    fence: Option<Position>,
    /// Whether `BEGIN` was sent and no end was.
    open: bool,
}

/// Why a statement has no result.
enum Fault {
    Postgres(PgError),
    /// No answer for longer than any may take.
    Silent,
    /// The server is no replica, or not as far as the fence.
    Behind,
}

impl From<PgError> for Fault {
    fn from(error: PgError) -> Self {
        Self::Postgres(error)
    }
}

impl PgTx {
    pub(super) fn new(client: Object, session: Arc<Session>, mode: Mode) -> Self {
        let start = Start { mode, fence: None, open: false };
        Self { client: Some(client), session, start, failed: None, statements: 0 }
    }

    /// On a replica, and only once it has replayed up to `fence`.
    pub(super) fn behind(mut self, fence: Position) -> Self {
        self.start.fence = Some(fence);
        self
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
            let client = self.client.as_ref().ok_or(Fault::Silent)?;
            let text = Text::of(sql, client, &self.session).await?;
            let ahead = self.start.ahead(client, &self.session).await?;
            after(client, ahead, text.execute(client, params)).await
        };
        let result = timeout(self.session.patience, result).await;
        self.note(result.unwrap_or(Err(Fault::Silent)))
    }

    pub(crate) async fn execute_many(
        &mut self,
        sql: &'static str,
        rows: &[Vec<Value>],
    ) -> Result<u64, Error> {
        self.admit(rows.len())?;
        let result = async {
            let client = self.client.as_ref().ok_or(Fault::Silent)?;
            let text = Text::of(sql, client, &self.session).await?;
            let ahead = self.start.ahead(client, &self.session).await?;
            // All are sent before the first answer is awaited, in order.
            let all = rows.iter().map(|params| text.execute(client, params));
            after(client, ahead, try_join_all(all)).await
        };
        let result = timeout(self.session.patience, result).await;
        Ok(self.note(result.unwrap_or(Err(Fault::Silent)))?.into_iter().sum())
    }

    pub(crate) async fn query(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Vec<Row>, Error> {
        // Without a transaction around it the server would let it write.
        if self.start.mode == Mode::Single && !sql.starts_with("select") {
            return Err(Error::Statement("what is looked for begins with select".to_owned()));
        }
        self.admit(1)?;
        let result = async {
            let client = self.client.as_ref().ok_or(Fault::Silent)?;
            let text = Text::of(sql, client, &self.session).await?;
            let ahead = self.start.ahead(client, &self.session).await?;
            after(client, ahead, text.query(client, params)).await
        };
        let result = timeout(self.session.patience, result).await;
        self.note(result.unwrap_or(Err(Fault::Silent)))
    }

    /// Makes the transaction durable. Gives the error of a statement that failed, if one did:
    /// PostgreSQL would answer `COMMIT` with a rollback.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        if let Some(error) = self.failed.take() {
            self.rollback().await;
            return Err(error);
        }
        if !self.start.open {
            return Ok(());
        }
        if self.start.mode != Mode::Write {
            self.send_rollback();
            return Ok(());
        }
        let result = self.control("COMMIT").await;
        // The server is out of the transaction also if it refused, and without a server there is
        // none.
        self.start.open = false;
        result.map_err(|error| match error {
            Error::Unavailable(text) => {
                Error::Unavailable(format!("the commit's outcome is unknown: {text}"))
            }
            error => error,
        })
    }

    pub(super) async fn rollback(&mut self) {
        if self.start.open && self.control("ROLLBACK").await.is_ok() {
            self.start.open = false;
        }
    }

    async fn control(&mut self, sql: &'static str) -> Result<(), Error> {
        let Some(client) = &self.client else { return Err(silent()) };
        match timeout(self.session.patience, client.batch_execute(sql)).await {
            Ok(result) => result.map_err(|error| fault::error(&error)),
            Err(_) => Err(self.give_up()),
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

    fn note<T>(&mut self, result: Result<T, Fault>) -> Result<T, Error> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(Fault::Silent) => self.give_up(),
            Err(Fault::Behind) => Error::Unavailable("the replica is not up to date".to_owned()),
            Err(Fault::Postgres(error)) => {
                if error.as_db_error().is_some_and(fault::is_stale_plan)
                    && let Some(client) = &self.client
                {
                    forget_plans(client);
                }
                fault::error(&error)
            }
        };
        self.failed = Some(error.clone());
        Err(error)
    }

    /// Ends the connection, whatever is under way on it.
    fn give_up(&mut self) -> Error {
        drop(self.client.take().map(Object::take));
        self.start.open = false;
        silent()
    }

    /// The message leaves with the first poll; its answer comes before that of any later statement.
    fn send_rollback(&mut self) {
        self.start.open = false;
        if let Some(client) = &self.client {
            let _unawaited = client.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        if self.start.open {
            self.send_rollback();
        }
    }
}

/// What travels ahead of the first statement, in the same round trip.
struct Ahead<'a> {
    guard: Option<(Text, Position)>,
    begin: &'a str,
}

impl Start {
    /// What opens the transaction, the first time.
    async fn ahead<'a>(
        &mut self,
        client: &Object,
        session: &'a Session,
    ) -> Result<Option<Ahead<'a>>, PgError> {
        if self.open {
            return Ok(None);
        }
        let Some(begin) = session.begin(self.mode) else { return Ok(None) };
        let guard = match self.fence {
            Some(fence) => Some((Text::of(fence::GUARD, client, session).await?, fence)),
            None => None,
        };
        self.open = true;
        Ok(Some(Ahead { guard, begin }))
    }
}

/// Runs `statement`, with what is to be sent ahead of it.
async fn after<T>(
    client: &Client,
    ahead: Option<Ahead<'_>>,
    statement: impl Future<Output = Result<T, PgError>>,
) -> Result<T, Fault> {
    let Some(Ahead { guard, begin }) = ahead else { return Ok(statement.await?) };
    let begin = client.batch_execute(begin);
    let Some((guard, fence)) = guard else {
        let (begun, result) = join(begin, statement).await;
        begun?;
        return Ok(result?);
    };
    // The snapshot is taken after the guard has looked, so it holds all that the guard saw.
    let guard = async {
        match timeout(fence::PATIENCE, fence::passed(&guard, client, fence)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Fault::Behind),
            Ok(Err(error)) => Err(Fault::Postgres(error)),
            Err(_) => Err(Fault::Silent),
        }
    };
    let all = try_join3(guard, begin.map_err(Fault::from), statement.map_err(Fault::from));
    all.await.map(|((), (), result)| result)
}

fn silent() -> Error {
    Error::Unavailable("the server does not answer".to_owned())
}

/// The other connections' statements are as old as this one's.
fn forget_plans(client: &Object) {
    let pool: Option<Pool> = Object::pool(client);
    match pool.as_ref().map(Pool::manager) {
        Some(Manager { statement_caches, .. }) => statement_caches.clear(),
        None => client.statement_cache.clear(),
    }
}
