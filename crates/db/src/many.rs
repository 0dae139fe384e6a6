//! One statement for many rows: arrays on PostgreSQL, row by row on SQLite, where a statement costs
//! a few microseconds.

use std::mem;

use crate::{Engine, Error, Row, Sql, Tx, Value, tx::Inner};

impl Tx {
    /// Runs `sql` for all `rows`, each the parameters of one, and returns how many rows of the
    /// database it changed. Without rows nothing is run.
    ///
    /// SQLite's text takes the values of one row. PostgreSQL's takes an array for each of them, and
    /// the number of rows after them: `(select * from unnest($1::uuid[], $2::text[]) w (id, name)
    /// limit $3)`. The limit is for the planner, which guesses a tenth of it: a plan made while the
    /// tables were still empty is the nested loop over the index that it has to be once they are
    /// full. Documents come as text (`doc::jsonb`).
    ///
    /// # Errors
    /// Why the database refused; [`Error::Statement`] if the rows differ in length, or a column's
    /// values in type.
    pub async fn execute_all(&mut self, sql: Sql, rows: Vec<Vec<Value>>) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        match self.engine() {
            Engine::Postgres => self.execute(sql, &arrays(rows)?).await,
            Engine::Sqlite => self.execute_many(sql, &rows).await,
        }
    }

    /// As [`Tx::execute_all`], and returns the rows that it gave, in no order on PostgreSQL.
    ///
    /// # Errors
    /// As [`Tx::execute_all`].
    pub async fn query_all(&mut self, sql: Sql, rows: Vec<Vec<Value>>) -> Result<Vec<Row>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if self.engine() == Engine::Postgres {
            return self.query(sql, &arrays(rows)?).await;
        }
        let mut found = Vec::new();
        for row in rows {
            found.extend(self.query(sql, &row).await?);
        }
        Ok(found)
    }

    /// As [`Tx::execute_all`] of a statement that returns the first `keys` values of each of `rows`
    /// on which it had an effect. Returns those, in no order on PostgreSQL; of an update, each key
    /// comes once in `rows`. SQLite's text returns nothing, as SQLite makes a table for what is
    /// returned, and keeps a copy of each page that is changed meanwhile; there, what had an effect
    /// is told by the count of changed rows.
    ///
    /// # Errors
    /// As [`Tx::execute_all`]; [`Error::Statement`] if a row has fewer values than `keys`.
    pub async fn effects(
        &mut self,
        sql: Sql,
        keys: usize,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Row>, Error> {
        if rows.iter().any(|row| row.len() < keys) {
            return Err(Error::Statement("a row with fewer values than keys".to_owned()));
        }
        match &mut self.0 {
            _ if rows.is_empty() => Ok(Vec::new()),
            Inner::Postgres(tx) => tx.query(sql.postgres, &arrays(rows)?).await,
            Inner::Sqlite(tx) => tx.effects(sql.sqlite, keys, &rows),
        }
    }
}

/// Rows turned into one array a column, and their number.
fn arrays(rows: Vec<Vec<Value>>) -> Result<Vec<Value>, Error> {
    let count = rows.len();
    let width = rows.first().map_or(0, Vec::len);
    let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(count)).collect();
    let mut types = vec![None; width];
    for row in rows {
        if row.len() != width {
            return Err(Error::Statement("rows of unequal length".to_owned()));
        }
        for ((column, known), value) in columns.iter_mut().zip(&mut types).zip(row) {
            let own = mem::discriminant(&value);
            if value != Value::Null && *known.get_or_insert(own) != own {
                return Err(Error::Statement("a column with values of two types".to_owned()));
            }
            column.push(value);
        }
    }
    let mut columns: Vec<Value> = columns.into_iter().map(Value::Column).collect();
    columns.push(Value::I64(i64::try_from(count).unwrap_or(i64::MAX)));
    Ok(columns)
}
