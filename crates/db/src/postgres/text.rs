//! One statement on one connection: prepared and kept, or parsed anew where nothing can be kept.

use deadpool_postgres::Object;
use futures_util::TryStreamExt as _;
use tokio_postgres::{
    Client, Error as PgError, Statement,
    types::{ToSql, Type},
};

use super::{server::Session, unnamed};
use crate::{Row, Value, row::Columns};

/// A statement as it is sent: always in a single message, on the first poll.
pub(super) enum Text {
    Prepared(Statement),
    /// The server parses it each time.
    Unnamed(&'static str),
}

impl Text {
    /// Prepares `sql`, unless it is or can't be.
    pub(super) async fn of(
        sql: &'static str,
        client: &Object,
        session: &Session,
    ) -> Result<Self, PgError> {
        if session.pooled {
            return Ok(Self::Unnamed(sql));
        }
        client.prepare_cached(sql).await.map(Self::Prepared)
    }

    pub(super) async fn execute(&self, client: &Client, params: &[Value]) -> Result<u64, PgError> {
        match self {
            Self::Prepared(statement) => client.execute_raw(statement, params).await,
            Self::Unnamed(sql) => {
                let params: Vec<(&(dyn ToSql + Sync), Type)> =
                    params.iter().map(|value| (value as _, unnamed::declared(value))).collect();
                client.execute_typed(sql, &params).await
            }
        }
    }

    pub(super) async fn query(
        &self,
        client: &Client,
        params: &[Value],
    ) -> Result<Vec<Row>, PgError> {
        let rows = match self {
            Self::Prepared(statement) => client.query_raw(statement, params).await?,
            Self::Unnamed(sql) => {
                let declared = params.iter().map(|value| (value, unnamed::declared(value)));
                client.query_typed_raw(sql, declared).await?
            }
        };
        rows.map_ok(|row| Row(Columns::Postgres(row))).try_collect().await
    }
}
