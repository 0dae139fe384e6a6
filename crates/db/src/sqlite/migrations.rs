//! Migrations on the writer's connection, each in a transaction of its own.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::{Sqlite, fault};
use crate::{Error, Migration, Migrations, migrate::check_order};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS boxoffice_migrations (
    owner text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at text NOT NULL DEFAULT current_timestamp,
    PRIMARY KEY (owner, name)
)";

impl Sqlite {
    pub(crate) async fn migrate(&self, sets: &[&Migrations]) -> Result<(), Error> {
        let sets: Vec<Migrations> = sets.iter().map(|set| **set).collect();
        let run = move |connection: &mut Connection| {
            connection.execute_batch(CREATE).map_err(|error| fault::error(connection, &error))?;
            for set in &sets {
                check_order(set.sqlite)?;
                for migration in set.sqlite {
                    apply(connection, set.owner, migration)
                        .map_err(|error| migration.failed(error))?;
                }
            }
            Ok(())
        };
        self.exclusive(run).await
    }
}

/// Applies `migration` if it is due. Another process that does the same waits for the lock, then
/// finds it done.
fn apply(connection: &mut Connection, owner: &str, migration: &Migration) -> Result<(), Error> {
    if !migration.is_due(checksum(connection, owner, migration)?.as_deref())? {
        return Ok(());
    }
    let locked = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let tx = match locked {
        Ok(tx) => tx,
        Err(error) => return Err(Error::Unavailable(error.to_string())),
    };
    if !migration.is_due(checksum(&tx, owner, migration)?.as_deref())? {
        return Ok(());
    }
    let insert = "INSERT INTO boxoffice_migrations (owner, name, checksum) VALUES (?1, ?2, ?3)";
    tx.execute_batch(migration.sql)
        .and_then(|()| tx.execute(insert, [owner, migration.name, &migration.checksum()]))
        .map_err(|error| fault::error(&tx, &error))?;
    tx.commit().map_err(|error| Error::Statement(error.to_string()))
}

fn checksum(
    connection: &Connection,
    owner: &str,
    migration: &Migration,
) -> Result<Option<String>, Error> {
    let sql = "SELECT checksum FROM boxoffice_migrations WHERE owner = ?1 AND name = ?2";
    connection
        .query_row(sql, [owner, migration.name], |row| row.get(0))
        .optional()
        .map_err(|error| fault::error(connection, &error))
}
