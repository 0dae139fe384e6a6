//! The audit's own database: what the stores said, in a temporary file of which little is in memory
//! at a time.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params, params_from_iter, types::Value};

use crate::{
    Acknowledged, Error, Journal,
    facts::{Depth, Engine, Fact},
    rules::WAYS,
};

const SCHEMA: &str = include_str!("schema.sql");
/// Memory for pages, in KiB; what does not fit goes to the temporary directory.
const SETTINGS: &str = "
    pragma journal_mode = off; pragma synchronous = off; pragma locking_mode = exclusive;
    pragma temp_store = file; pragma cache_size = -262144;";
/// Statements that are kept ready.
const STATEMENTS: usize = 32;

/// All that is known.
pub(crate) struct Notes(pub(crate) Connection);

impl Notes {
    pub(crate) fn new() -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // Without a name it is a temporary file that goes when it is closed.
        let own = Connection::open_with_flags("", flags)?;
        own.execute_batch(SETTINGS)?;
        own.execute_batch(SCHEMA)?;
        own.set_prepared_statement_cache_capacity(STATEMENTS);
        for (machine, from, targets) in WAYS {
            for to in *targets {
                own.execute("insert into way values (?, ?, ?)", [machine, from, to])?;
            }
        }
        Ok(Self(own))
    }

    /// Notes one row of `table`. Columns that are missing at its end are null.
    pub(crate) fn add(&self, table: &str, row: &[Value]) -> Result<(), Error> {
        let marks = vec!["?"; row.len()].join(", ");
        let mut insert = self.0.prepare_cached(&format!("insert into {table} values ({marks})"))?;
        insert.execute(params_from_iter(row))?;
        Ok(())
    }

    pub(crate) fn run(&self, statements: &str) -> Result<(), Error> {
        Ok(self.0.execute_batch(statements)?)
    }

    /// The only number that `sql` answers.
    pub(crate) fn number(&self, sql: &str) -> Result<i64, Error> {
        Ok(self.0.query_row(sql, [], |row| row.get(0))?)
    }

    /// Takes over `facts` of a SQLite file, all as they are at one moment. It may be in use.
    pub(crate) fn take_file(
        &self,
        path: &Path,
        (origin, facts): (&str, &[&Fact]),
        depth: Depth,
    ) -> Result<(), Error> {
        let wrong = |error: rusqlite::Error| Error::store(&path.display().to_string(), error);
        self.0.execute("attach ? as source", [read_only(path)]).map_err(wrong)?;
        self.run("begin")?;
        for fact in facts {
            if let Some(select) = fact.statement(Engine::Sqlite, depth, origin) {
                let take = format!("insert into {} {select}", fact.table);
                self.0.execute(&take, []).map_err(wrong)?;
            }
        }
        self.run("commit; detach source")
    }

    /// Takes over what clients were told.
    pub(crate) fn take_journal(&self, path: &Path) -> Result<(), Error> {
        self.run("begin")?;
        for told in Journal::read(path)? {
            self.note(&told?)?;
        }
        self.run("commit")
    }

    fn note(&self, told: &Acknowledged) -> Result<(), Error> {
        const TOLD: &str = "insert into told values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        const GIVEN: &str = "insert into given values (null, ?, ?, ?, ?, ?)";
        match told {
            Acknowledged::Booking {
                account,
                key,
                body,
                http,
                booking,
                reference,
                status,
                total_minor,
                currency,
                code,
            } => self.0.prepare_cached(TOLD)?.execute(params![
                account.as_bytes(),
                key,
                body.cast_signed(),
                http,
                booking.as_ref().map(|id| id.as_bytes()),
                reference,
                status,
                total_minor,
                currency,
                code,
            ])?,
            Acknowledged::Place { account, event, number, status, booking } => {
                self.0.prepare_cached(GIVEN)?.execute(params![
                    account.as_bytes(),
                    event.to_string(),
                    number.cast_signed(),
                    status,
                    booking.as_ref().map(|id| id.as_bytes()),
                ])?
            }
        };
        Ok(())
    }
}

/// The file at `path` as SQLite's URI, to read only.
fn read_only(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for character in path.to_string_lossy().chars() {
        match character {
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            '%' => uri.push_str("%25"),
            other => uri.push(other),
        }
    }
    uri + "?mode=ro"
}
