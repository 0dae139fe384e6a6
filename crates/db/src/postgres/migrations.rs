//! Migrations, each in a transaction of its own, under a lock that ends with it: also a connection
//! that is another session for each transaction keeps two processes apart.

use std::collections::HashMap;

use deadpool_postgres::Object;
use tokio_postgres::{
    Client, Error as PgError,
    types::{ToSql, Type},
};

use super::{Postgres, fault};
use crate::{Error, Migration, Migrations, migrate::check_order};

/// The same in every process that migrates: `boxoffic` in ASCII.
const LOCK: i64 = 0x626f_786f_6666_6963;
const TABLE: &str = "CREATE TABLE IF NOT EXISTS boxoffice_migrations (
    owner text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, name)
)";

impl Postgres {
    /// On a connection that is thrown away afterwards. Dropped half way, the server rolls back the
    /// migration under way.
    pub(crate) async fn migrate(&self, sets: &[&Migrations]) -> Result<(), Error> {
        let client = Object::take(self.primary.connection().await?);
        let begin = format!(
            "{}; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
             SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock({LOCK})",
            self.primary.session.begin_write
        );
        let set_up = format!("{begin}; {TABLE}");
        client.batch_execute(&set_up).await.map_err(|error| fault::error(&error))?;
        let applied = applied(&client).await.map_err(|error| fault::error(&error))?;
        for set in sets {
            check_order(set.postgres)?;
            for migration in set.postgres {
                let key = (set.owner.to_owned(), migration.name.to_owned());
                if migration.is_due(applied.get(&key).map(String::as_str))? {
                    apply(&client, &begin, set.owner, migration)
                        .await
                        .map_err(|error| migration.failed(fault::error(&error)))?;
                }
            }
        }
        Ok(())
    }
}

/// Checksums by owner and name; ends the transaction.
async fn applied(client: &Client) -> Result<HashMap<(String, String), String>, PgError> {
    let sql = "SELECT owner, name, checksum FROM boxoffice_migrations";
    let rows = client.query_typed(sql, &[]).await?;
    client.batch_execute("COMMIT").await?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}

/// Applies it, unless another process has, meanwhile.
async fn apply(
    client: &Client,
    begin: &str,
    owner: &str,
    migration: &Migration,
) -> Result<(), PgError> {
    client.batch_execute(begin).await?;
    let sql = "INSERT INTO boxoffice_migrations (owner, name, checksum) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING";
    let checksum = migration.checksum();
    let row: [(&(dyn ToSql + Sync), Type); 3] =
        [(&owner, Type::TEXT), (&migration.name, Type::TEXT), (&checksum, Type::TEXT)];
    if client.execute_typed(sql, &row).await? == 1 {
        client.batch_execute(migration.sql).await?;
    }
    client.batch_execute("COMMIT").await
}
