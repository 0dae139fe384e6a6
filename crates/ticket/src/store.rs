//! All SQL of this service; one function, one promise.
//!
//! Statements over many rows take arrays on PostgreSQL and run row by row on SQLite, where a
//! statement costs a few microseconds. The arrays stand in a subquery with `limit`, their length:
//! the planner guesses a tenth of them, so that a plan made while the tables were still empty is
//! the nested loop over the index that it has to be once they are full.

pub mod claims;
pub mod holds;
pub mod inventories;
pub mod keys;
pub mod sections;
pub mod tickets;

use std::fmt::Display;

use db::{Engine, Error, Row, Sql, Tx, Value};

/// Parameters of a statement that is run for many rows, one list a row.
type Rows = Vec<Vec<Value>>;

/// Runs `sql` for all `rows`, and returns how many rows of the database it changed.
async fn execute_all(tx: &mut Tx, sql: Sql, rows: Rows) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    match tx.engine() {
        Engine::Postgres => tx.execute(sql, &arrays(rows)).await,
        Engine::Sqlite => tx.execute_many(sql, &rows).await,
    }
}

/// Runs `sql` for all `rows`, and returns the rows that it gave.
async fn query_all(tx: &mut Tx, sql: Sql, rows: Rows) -> Result<Vec<Row>, Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if tx.engine() == Engine::Postgres {
        return tx.query(sql, &arrays(rows)).await;
    }
    let mut found = Vec::new();
    for row in rows {
        found.extend(tx.query(sql, &row).await?);
    }
    Ok(found)
}

/// Rows turned into one array a column, and their number.
fn arrays(rows: Rows) -> Vec<Value> {
    let count = rows.len();
    let mut columns: Vec<Value> = Vec::new();
    for row in rows {
        if columns.is_empty() {
            columns = row.iter().map(|value| array_of(value, count)).collect();
        }
        for (column, value) in columns.iter_mut().zip(row) {
            match (column, value) {
                (Value::Uuids(list), Value::Uuid(item)) => list.push(item),
                (Value::Texts(list), Value::Text(item)) => list.push(item),
                (Value::Times(list), Value::Time(item)) => list.push(item),
                (Value::Bools(list), Value::Bool(item)) => list.push(item),
                (Value::I64s(list), Value::I64(item)) => list.push(item),
                // Arrays of unequal length are refused by the statement.
                _ => {}
            }
        }
    }
    columns.push(Value::I64(i64::try_from(count).unwrap_or(i64::MAX)));
    columns
}

fn array_of(value: &Value, capacity: usize) -> Value {
    match value {
        Value::Uuid(_) => Value::Uuids(Vec::with_capacity(capacity)),
        Value::Time(_) => Value::Times(Vec::with_capacity(capacity)),
        Value::Bool(_) => Value::Bools(Vec::with_capacity(capacity)),
        Value::I64(_) => Value::I64s(Vec::with_capacity(capacity)),
        _ => Value::Texts(Vec::with_capacity(capacity)),
    }
}

/// The database lied: `column` holds what this service never wrote.
fn corrupt(column: &str, detail: impl Display) -> Error {
    Error::Corrupt { column: column.to_owned(), detail: detail.to_string() }
}
