//! A transaction: the statements a body may run.

use crate::{Engine, Error, Row, Value, postgres::PgTx, sqlite::LiteTx};

/// A statement with `$1`-style parameters: one text for both engines wherever it can be, else one
/// each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sql {
    /// The text for PostgreSQL.
    pub postgres: &'static str,
    /// The text for SQLite.
    pub sqlite: &'static str,
}

impl Sql {
    /// A statement whose text differs between the engines.
    #[must_use]
    pub const fn split(postgres: &'static str, sqlite: &'static str) -> Self {
        Self { postgres, sqlite }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { postgres: text, sqlite: text }
    }
}

/// A transaction under way. After a statement failed, the transaction can only roll back, on both
/// engines: later statements are refused, and a body that returns `Ok` all the same gets the
/// statement's error.
pub struct Tx(pub(crate) Inner);

pub(crate) enum Inner {
    Postgres(PgTx),
    Sqlite(LiteTx),
}

impl Tx {
    /// Which engine this runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.0 {
            Inner::Postgres(_) => Engine::Postgres,
            Inner::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// Why the database refused it.
    pub async fn execute(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<u64, Error> {
        let sql = sql.into();
        match &mut self.0 {
            Inner::Postgres(tx) => tx.execute(sql.postgres, params).await,
            Inner::Sqlite(tx) => tx.execute(sql.sqlite, params),
        }
    }

    /// Runs a statement once per parameter row, in one round trip, and returns how many rows
    /// changed in all.
    ///
    /// # Errors
    /// Why the database refused one of them.
    pub async fn execute_many(
        &mut self,
        sql: impl Into<Sql>,
        rows: &[Vec<Value>],
    ) -> Result<u64, Error> {
        let sql = sql.into();
        match &mut self.0 {
            Inner::Postgres(tx) => tx.execute_many(sql.postgres, rows).await,
            Inner::Sqlite(tx) => tx.execute_many(sql.sqlite, rows),
        }
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// Why the database refused it.
    pub async fn query(
        &mut self,
        sql: impl Into<Sql>,
        params: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let sql = sql.into();
        match &mut self.0 {
            Inner::Postgres(tx) => tx.query(sql.postgres, params).await,
            Inner::Sqlite(tx) => tx.query(sql.sqlite, params),
        }
    }

    /// Runs a statement and returns its only row, if there is one.
    ///
    /// # Errors
    /// Why the database refused it; [`Error::Statement`] if there was more than one row.
    pub async fn query_opt(
        &mut self,
        sql: impl Into<Sql>,
        params: &[Value],
    ) -> Result<Option<Row>, Error> {
        let mut rows = self.query(sql, params).await?;
        if rows.len() > 1 {
            return Err(Error::Statement(format!("{} rows where one was expected", rows.len())));
        }
        Ok(rows.pop())
    }

    /// Runs a statement and returns its only row.
    ///
    /// # Errors
    /// Why the database refused it; [`Error::Statement`] if there was not exactly one row.
    pub async fn query_one(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<Row, Error> {
        let row = self.query_opt(sql, params).await?;
        row.ok_or_else(|| Error::Statement("no row where one was expected".to_owned()))
    }

    /// Why a statement of this transaction failed, if one did.
    pub(crate) fn failure(&self) -> Option<&Error> {
        match &self.0 {
            Inner::Postgres(tx) => tx.failure(),
            Inner::Sqlite(tx) => tx.failure(),
        }
    }
}
