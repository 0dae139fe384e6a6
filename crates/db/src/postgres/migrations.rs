//! Migrations under an advisory lock, each in a transaction of its own.

use std::collections::HashMap;

use deadpool_postgres::{ClientWrapper, Object};

use super::{Postgres, fault};
use crate::{Error, Migration, Migrations, migrate::check_order};

/// The same in every process that migrates: `boxoffic` in ASCII.
const LOCK: i64 = 0x626f_786f_6666_6963;

impl Postgres {
    /// On a connection that is thrown away afterwards, with its lock and its lack of timeouts.
    /// Dropped half way, the server rolls back the migration under way.
    pub(crate) async fn migrate(&self, sets: &[&Migrations]) -> Result<(), Error> {
        let client = Object::take(self.connection().await?);
        let setup = format!(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning;
             SELECT pg_advisory_lock({LOCK});
             CREATE TABLE IF NOT EXISTS boxoffice_migrations (
                 owner text NOT NULL,
                 name text NOT NULL,
                 checksum text NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now(),
                 PRIMARY KEY (owner, name)
             )"
        );
        client.batch_execute(&setup).await.map_err(|error| fault::error(&error))?;
        for set in sets {
            check_order(set.postgres)?;
            let applied =
                applied(&client, set.owner).await.map_err(|error| fault::error(&error))?;
            for migration in set.postgres {
                if migration.is_due(applied.get(migration.name).map(String::as_str))? {
                    apply(&client, set.owner, migration)
                        .await
                        .map_err(|error| migration.failed(fault::error(&error)))?;
                }
            }
        }
        Ok(())
    }
}

async fn applied(
    client: &ClientWrapper,
    owner: &str,
) -> Result<HashMap<String, String>, tokio_postgres::Error> {
    let sql = "SELECT name, checksum FROM boxoffice_migrations WHERE owner = $1";
    let rows = client.query(sql, &[&owner]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn apply(
    client: &ClientWrapper,
    owner: &str,
    migration: &Migration,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(migration.sql).await?;
    let sql = "INSERT INTO boxoffice_migrations (owner, name, checksum) VALUES ($1, $2, $3)";
    client.execute(sql, &[&owner, &migration.name, &migration.checksum()]).await?;
    client.batch_execute("COMMIT").await
}
