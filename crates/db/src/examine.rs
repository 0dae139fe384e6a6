//! What an operator wants to know of a database: its server, its clock, its schema, its replica.

use std::collections::HashSet;

use kernel::Timestamp;

use crate::{Backend, Db, Engine, Error, Migrations, Tx};

/// What was found of a database.
#[derive(Debug, Clone)]
pub struct Examination {
    /// Which server, and its version: `PostgreSQL 15.18`.
    pub server: String,
    /// The server's clock; none for an embedded engine, which has ours.
    pub clock: Option<Timestamp>,
    /// Migrations that are not applied yet, as `owner/name`.
    pub due: Vec<String>,
    /// Migrations that are applied and not known, as a newer version's are.
    pub unknown: Vec<String>,
    /// How the replica is; none if there is none.
    pub replica: Option<Result<ReplicaState, Error>>,
}

/// How a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState {
    /// How much of the primary's log it has not replayed, in bytes.
    pub behind_bytes: u64,
}

impl Db {
    /// Looks at the database and its replica; changes nothing.
    ///
    /// # Errors
    /// If it can't be reached.
    pub async fn examine(&self, sets: &[&Migrations]) -> Result<Examination, Error> {
        let (server, clock, applied) = self.read(|tx| Box::pin(look(tx))).await?;
        let known: Vec<String> = sets
            .iter()
            .flat_map(|set| {
                let migrations = match self.engine() {
                    Engine::Postgres => set.postgres,
                    Engine::Sqlite => set.sqlite,
                };
                migrations.iter().map(|migration| format!("{}/{}", set.owner, migration.name))
            })
            .collect();
        let is_known: HashSet<&String> = known.iter().collect();
        let mut unknown: Vec<String> =
            applied.iter().filter(|name| !is_known.contains(name)).cloned().collect();
        unknown.sort();
        let due = known.iter().filter(|name| !applied.contains(*name)).cloned().collect();
        let replica = self.examine_replica().await;
        Ok(Examination { server, clock, due, unknown, replica })
    }
}

impl Db {
    async fn examine_replica(&self) -> Option<Result<ReplicaState, Error>> {
        match &self.0.backend {
            Backend::Postgres(postgres) => postgres.examine_replica().await,
            Backend::Sqlite(_) => None,
        }
    }
}

type Look = (String, Option<Timestamp>, HashSet<String>);

async fn look(tx: &mut Tx) -> Result<Look, Error> {
    const TABLE: crate::Sql = crate::Sql::split(
        "select 1 from pg_class where oid = to_regclass('boxoffice_migrations')",
        "select 1 from sqlite_master where type = 'table' and name = 'boxoffice_migrations'",
    );
    const APPLIED: &str = "select owner || '/' || name from boxoffice_migrations";
    let (server, clock) = match tx.engine() {
        Engine::Postgres => {
            const SERVER: &str = "select current_setting('server_version'), clock_timestamp()";
            let row = tx.query_one(SERVER, &[]).await?;
            (format!("PostgreSQL {}", row.get::<String>(0)?), Some(row.get(1)?))
        }
        Engine::Sqlite => {
            let row = tx.query_one("select sqlite_version()", &[]).await?;
            (format!("SQLite {}", row.get::<String>(0)?), None)
        }
    };
    let mut applied = HashSet::new();
    if tx.query_opt(TABLE, &[]).await?.is_some() {
        for row in tx.query(APPLIED, &[]).await? {
            applied.insert(row.get(0)?);
        }
    }
    Ok((server, clock, applied))
}
