//! Statements on one SQLite connection: they complete at once.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use rusqlite::{
    Connection, Statement, ToSql,
    types::{Null, ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use super::fault;
use crate::{
    Body, Error, Row, Tx, Value,
    row::{Cells, Columns, Stored},
    tx::Inner,
};

pub(crate) struct LiteTx {
    pub(super) connection: Connection,
    /// Of each statement, which value goes to which parameter; by where its text is in memory.
    positions: HashMap<(usize, usize), Arc<[usize]>>,
    failed: Option<Error>,
    statements: u64,
}

impl LiteTx {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, positions: HashMap::new(), failed: None, statements: 0 }
    }

    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        self.execute_all(sql, std::iter::once(params), |_| Ok(()))
    }

    pub(crate) fn execute_many(
        &mut self,
        sql: &'static str,
        rows: &[Vec<Value>],
    ) -> Result<u64, Error> {
        self.execute_all(sql, rows.iter().map(Vec::as_slice), |_| Ok(()))
    }

    /// Runs a statement once a row, and returns the first `keys` values of those with an effect.
    pub(crate) fn effects(
        &mut self,
        sql: &'static str,
        keys: usize,
        rows: &[Vec<Value>],
    ) -> Result<Vec<Row>, Error> {
        let mut effects = Vec::with_capacity(rows.len());
        self.execute_all(sql, rows.iter().map(Vec::as_slice), |row| {
            effects.push(Row(Columns::Sqlite(copied(row.iter().take(keys))?)));
            Ok(())
        })?;
        Ok(effects)
    }

    fn execute_all<'v>(
        &mut self,
        sql: &'static str,
        rows: impl Iterator<Item = &'v [Value]>,
        mut effect: impl FnMut(&'v [Value]) -> Result<(), Fault>,
    ) -> Result<u64, Error> {
        self.admit()?;
        let run = || -> Result<(u64, u64), Fault> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let positions = positions(&mut self.positions, sql, &statement)?;
            let (mut changed, mut count) = (0, 0);
            for params in rows {
                bind(&mut statement, &positions, params)?;
                let changes = statement.raw_execute()?;
                if changes > 0 {
                    effect(params)?;
                }
                changed += changes;
                count += 1;
            }
            Ok((u64::try_from(changed).unwrap_or(u64::MAX), count))
        };
        let result = run();
        let (changed, count) = self.note(result)?;
        self.statements += count;
        Ok(changed)
    }

    pub(crate) fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.admit()?;
        let mut run = || -> Result<Vec<Row>, Fault> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let positions = positions(&mut self.positions, sql, &statement)?;
            bind(&mut statement, &positions, params)?;
            let columns = statement.column_count();
            let mut rows = statement.raw_query();
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.push(Row(Columns::Sqlite(cells(row, columns)?)));
            }
            Ok(all)
        };
        let result = run();
        self.statements += 1;
        self.note(result)
    }

    /// Runs one of our own statements: `BEGIN`, `COMMIT`, `SAVEPOINT` and the like.
    pub(super) fn control(&mut self, sql: &'static str) -> Result<(), Error> {
        let run = || self.connection.prepare_cached(sql)?.raw_execute();
        match run() {
            Ok(_) => Ok(()),
            Err(error) => Err(fault::error(&self.connection, &error)),
        }
    }

    /// Forgets a failure, and says how many statements were run since this was last asked.
    pub(super) fn renew(&mut self) -> u64 {
        self.failed = None;
        std::mem::take(&mut self.statements)
    }

    fn admit(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(Error::Statement(format!("the transaction has failed: {error}"))),
            None => Ok(()),
        }
    }

    fn note<T>(&mut self, result: Result<T, Fault>) -> Result<T, Error> {
        result.map_err(|fault| {
            let error = match fault {
                Fault::Driver(error) => fault::error(&self.connection, &error),
                Fault::Ours(error) => error,
            };
            self.failed = Some(error.clone());
            error
        })
    }
}

enum Fault {
    Driver(rusqlite::Error),
    Ours(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

/// Where the values of a statement's parameters stand. SQLite numbers `$k` by first appearance and
/// takes `$2::text` for a name, so values are found by the digits.
fn positions(
    known: &mut HashMap<(usize, usize), Arc<[usize]>>,
    sql: &'static str,
    statement: &Statement<'_>,
) -> Result<Arc<[usize]>, Fault> {
    let place = (sql.as_ptr().addr(), sql.len());
    if let Some(positions) = known.get(&place) {
        return Ok(positions.clone());
    }
    let position = |index| {
        let number = statement.parameter_name(index).and_then(number);
        number.and_then(|number| number.checked_sub(1)).ok_or_else(|| {
            Fault::Ours(Error::Statement(format!("parameter {index} is not one of $1, $2, …")))
        })
    };
    let positions = (1..=statement.parameter_count()).map(position);
    let positions = positions.collect::<Result<Arc<[usize]>, Fault>>()?;
    known.insert(place, positions.clone());
    Ok(positions)
}

fn bind(statement: &mut Statement<'_>, positions: &[usize], params: &[Value]) -> Result<(), Fault> {
    let wanted = positions.iter().max().map_or(0, |highest| highest + 1);
    if wanted != params.len() {
        let text = format!("parameter ${wanted} is the last, {} are given", params.len());
        return Err(Fault::Ours(Error::Statement(text)));
    }
    for (index, position) in (1..).zip(positions) {
        if let Some(value) = params.get(*position) {
            statement.raw_bind_parameter(index, Bound(value))?;
        }
    }
    Ok(())
}

fn number(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('$')?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

struct Bound<'v>(&'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = |list: serde_json::Value| list.to_string().into();
        Ok(match self.0 {
            Value::Null => Null.into(),
            Value::I64(value) => (*value).into(),
            Value::F64(value) => (*value).into(),
            Value::Bool(value) => (*value).into(),
            Value::Text(text) | Value::Json(text) => text.as_str().into(),
            Value::Uuid(uuid) => ToSqlOutput::Borrowed(ValueRef::Blob(uuid.as_bytes())),
            Value::Time(at) => at.micros().into(),
            Value::Bytes(bytes) => bytes.as_slice().into(),
            Value::I64s(list) => text(list.as_slice().into()),
            Value::Bools(list) => text(list.as_slice().into()),
            Value::Texts(list) => text(list.as_slice().into()),
            Value::Uuids(list) => hex_list(list).into(),
            Value::Times(list) => text(list.iter().map(|at| at.micros()).collect()),
            Value::Column(_) => {
                let why = "a column with nulls is for postgres only";
                return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
            }
        })
    }
}

/// A JSON array of 32 hex digits each.
fn hex_list(list: &[Uuid]) -> String {
    let mut text = String::with_capacity(2 + list.len() * 35);
    text.push('[');
    let mut buffer = Uuid::encode_buffer();
    for (index, uuid) in list.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push('"');
        text.push_str(uuid.simple().encode_lower(&mut buffer));
        text.push('"');
    }
    text.push(']');
    text
}

/// A row of these values, as SQLite would have stored them.
fn copied<'v>(values: impl Iterator<Item = &'v Value>) -> Result<Cells, Fault> {
    let (mut text, mut bytes) = (String::new(), Vec::new());
    let mut blob = |blob: &[u8]| {
        bytes.extend_from_slice(blob);
        Stored::Bytes(bytes.len() - blob.len(), bytes.len())
    };
    let cells = values.map(|value| {
        Ok(match value {
            Value::Null => Stored::Null,
            Value::I64(value) => Stored::I64(*value),
            Value::F64(value) => Stored::F64(*value),
            Value::Bool(value) => Stored::I64((*value).into()),
            Value::Time(at) => Stored::I64(at.micros()),
            Value::Uuid(value) => blob(value.as_bytes()),
            Value::Bytes(value) => blob(value),
            Value::Text(value) | Value::Json(value) => {
                text.push_str(value);
                Stored::Text(text.len() - value.len(), text.len())
            }
            _ => return Err(Fault::Ours(Error::Statement("a list is no key".to_owned()))),
        })
    });
    let cells = cells.collect::<Result<_, Fault>>()?;
    Ok(Cells { cells, text, bytes })
}

/// The columns of `row`, copied.
fn cells(row: &rusqlite::Row<'_>, columns: usize) -> Result<Cells, Fault> {
    let (mut texts, mut blobs) = (0, 0);
    for index in 0..columns {
        match row.get_ref(index)? {
            ValueRef::Text(text) => texts += text.len(),
            ValueRef::Blob(bytes) => blobs += bytes.len(),
            _ => {}
        }
    }
    let (mut text, mut bytes) = (String::with_capacity(texts), Vec::with_capacity(blobs));
    let cells = (0..columns).map(|index| {
        Ok(match row.get_ref(index)? {
            ValueRef::Null => Stored::Null,
            ValueRef::Integer(value) => Stored::I64(value),
            ValueRef::Real(value) => Stored::F64(value),
            ValueRef::Blob(blob) => {
                bytes.extend_from_slice(blob);
                Stored::Bytes(bytes.len() - blob.len(), bytes.len())
            }
            ValueRef::Text(stored) => match std::str::from_utf8(stored) {
                Ok(stored) => {
                    text.push_str(stored);
                    Stored::Text(text.len() - stored.len(), text.len())
                }
                Err(_) => {
                    let detail = "text that is not utf-8".to_owned();
                    return Err(Fault::Ours(Error::Corrupt { column: index.to_string(), detail }));
                }
            },
        })
    });
    let cells = cells.collect::<Result<_, Fault>>()?;
    Ok(Cells { cells, text, bytes })
}

/// Polls `body` to its end, which is at once, as it may await nothing but `tx`. A panic is an
/// error; so is `Ok` after a failed statement.
pub(super) fn run<T, E, F>(body: &F, tx: &mut Tx) -> Result<T, E>
where
    E: From<Error>,
    F: for<'t> Fn(&'t mut Tx) -> Body<'t, T, E>,
{
    let polled = catch_unwind(AssertUnwindSafe(|| {
        body(tx).as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }));
    let result = match polled {
        Ok(Poll::Ready(result)) => result,
        Ok(Poll::Pending) => {
            let text = "the transaction's body awaited something other than its transaction";
            Err(Error::Statement(text.to_owned()).into())
        }
        Err(_) => Err(Error::panicked().into()),
    };
    match (result, tx.failure()) {
        (Ok(_), Some(error)) => Err(error.clone().into()),
        (result, _) => result,
    }
}

/// The SQLite side of `tx`, which was made here and is nothing else.
pub(super) fn lite(tx: &mut Tx) -> Result<&mut LiteTx, Error> {
    match &mut tx.0 {
        Inner::Sqlite(lite) => Ok(lite),
        Inner::Postgres(_) => Err(Error::Statement("not a sqlite transaction".to_owned())),
    }
}
