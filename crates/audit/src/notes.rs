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
    pragma main.page_size = 16384; pragma main.journal_mode = off; pragma main.synchronous = off;
    pragma temp_store = file; pragma main.cache_size = -262144;";
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts;

    fn queue(directory: &Path) -> Connection {
        let owner = Connection::open(directory.join("a # file? of 100%.sqlite")).unwrap();
        let tables = "pragma journal_mode = wal;
            create table kv_lines (line bigint, name text, last bigint, serving bigint);
            create table kv_places (line bigint, number bigint, member text);
            create table kv_outcomes (line bigint, number bigint, member text);
            insert into kv_lines values (1, 'a', 3, 1);
            insert into kv_places values (1, 2, 'b'), (1, 3, 'c');";
        owner.execute_batch(tables).unwrap();
        owner
    }

    fn take(notes: &Notes, directory: &Path) -> Result<(), Error> {
        let facts: Vec<&Fact> = facts::QUEUE.iter().collect();
        let path = directory.join("a # file? of 100%.sqlite");
        notes.take_file(&path, ("queue", &facts), Depth::All)
    }

    #[test]
    fn a_file_is_read_while_its_owner_writes() {
        let directory = tempfile::tempdir().unwrap();
        let owner = queue(directory.path());
        owner.execute_batch("begin immediate; insert into kv_places values (1, 4, 'd')").unwrap();
        let notes = Notes::new().unwrap();
        take(&notes, directory.path()).unwrap();
        owner.execute_batch("commit").unwrap();
        assert_eq!(notes.number("select waiting from line").unwrap(), 2, "as it was committed");
        assert_eq!(notes.number("select count(*) from place").unwrap(), 2);
        let again = Notes::new().unwrap();
        take(&again, directory.path()).unwrap();
        assert_eq!(again.number("select waiting from line").unwrap(), 3);
    }

    #[test]
    fn a_store_that_is_missing_or_lacks_a_table_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let missing = take(&Notes::new().unwrap(), directory.path()).unwrap_err();
        assert!(missing.to_string().contains("can't be read"), "{missing}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "and it is not made");
        let owner = queue(directory.path());
        owner.execute_batch("drop table kv_outcomes").unwrap();
        let lacking = take(&Notes::new().unwrap(), directory.path()).unwrap_err();
        assert!(lacking.to_string().contains("no such table: kv_outcomes"), "{lacking}");
    }
}
