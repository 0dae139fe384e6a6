//! The bare database: the rows that a course wrote, once more into the same tables with the same
//! indexes, in transactions of as many bookings as a flush had in the course; copied inside of the
//! server, so that nothing else is done. What no platform on this database can surpass.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use futures_util::future::try_join_all;
use platform::Tasks;
use rush::{Meter, Part, Wal};
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls, Statement};

use crate::Failure;

/// What the tables of all databases had done to them so far.
pub(crate) struct Books {
    server: String,
    tables: BTreeMap<(String, String), Rows>,
    wal: Wal,
}

/// Rows written to a table.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    inserted: i64,
    updated: i64,
    deleted: i64,
}

/// A table of one database, and what becomes of it for each booking.
struct Table {
    name: String,
    /// Rows for each booking.
    inserted: f64,
    updated: f64,
    is_outbox: bool,
}

/// What was found.
pub(crate) struct Bare {
    per_second: f64,
    rows: f64,
    /// The tables that most rows are of, and how many.
    tables: Vec<(String, f64)>,
    batch: u64,
    wal: Wal,
    cpu_ms: f64,
    bookings: u64,
}

/// Transactions under way at once in each database, as coalescers have lanes.
const LANES: usize = 2;
/// Of a table whose rows change less often than this for each booking, nothing is done.
const RARE: f64 = 0.002;
/// Tables with fewer rows for each booking aren't shown.
const SHOWN: f64 = 0.05;
/// The length of the events that a row of the outbox has for a moment.
const EVENTS_BYTES: usize = 5_000;
/// Nobody writes a row in more steps than this.
const MOST_STEPS: u32 = 12;
const BY_KEY: &str =
    "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off";
const OUTBOX: &str = "boxoffice_outbox_batches";

impl Books {
    /// Reads all databases of the server at this url.
    pub(crate) async fn read(server: &str) -> Result<Self, Failure> {
        let tasks = Tasks::new();
        let first = connect(server, "postgres", &tasks).await?;
        let names = "select datname from pg_database where not datistemplate";
        let mut tables = BTreeMap::new();
        for row in first.query(names, &[]).await? {
            let database: String = row.try_get(0)?;
            let client = connect(server, &database, &tasks).await?;
            let counts = "select relname::text, n_tup_ins, n_tup_upd, n_tup_del
                          from pg_stat_user_tables where schemaname = 'public'";
            for row in client.query(counts, &[]).await? {
                let (inserted, updated) = (row.try_get(1)?, row.try_get(2)?);
                let rows = Rows { inserted, updated, deleted: row.try_get(3)? };
                tables.insert((database.clone(), row.try_get(0)?), rows);
            }
        }
        Ok(Self { server: server.to_owned(), tables, wal: Wal::read(server).await? })
    }

    /// Writes what was written since, and was written for so many bookings, once more. `parts` are
    /// those whose processor time that is.
    pub(crate) async fn replay(self, bookings: u64, parts: Vec<Part>) -> Result<Bare, Failure> {
        let now = Self::read(&self.server).await?;
        let bookings = bookings.max(1);
        let each = |count: i64| count as f64 / bookings as f64;
        let mut databases: BTreeMap<&str, Vec<Table>> = BTreeMap::new();
        let mut rows = 0.0;
        let mut by_table = Vec::new();
        for ((database, name), now) in &now.tables {
            let before = self.tables.get(&(database.clone(), name.clone()));
            let before = before.copied().unwrap_or_default();
            let inserted = each(now.inserted - before.inserted);
            let updated = each(now.updated - before.updated);
            let deleted = each(now.deleted - before.deleted);
            rows += inserted + updated + deleted;
            by_table.push((format!("{database}.{name}"), inserted + updated + deleted));
            if inserted + updated >= RARE {
                let (name, is_outbox) = (name.clone(), name == OUTBOX);
                let table = Table { name, inserted, updated, is_outbox };
                databases.entry(database).or_default().push(table);
            }
        }
        let steps: u32 = databases.values().map(|tables| steps(tables)).sum();
        by_table.retain(|(_, rows)| *rows >= SHOWN);
        by_table.sort_by(|one, other| other.1.total_cmp(&one.1));
        let flushes = now.wal.since(self.wal).syncs as f64 / bookings as f64;
        let batch = (f64::from(steps) / flushes.max(0.001)).round().clamp(1.0, 1_000.0) as u64;
        let tasks = Tasks::new();
        let mut lanes = Vec::new();
        for (database, tables) in &databases {
            let client = connect(&self.server, database, &tasks).await?;
            prepare(&client, tables, bookings).await?;
            let tables = Arc::new(tables);
            for lane in 0..LANES {
                let client = connect(&self.server, database, &tasks).await?;
                lanes.push(Lane::new(client, &tables, (lane, batch, bookings)).await?);
            }
        }
        let before = Wal::read(&self.server).await?;
        let mut meter = Meter::start(parts)?;
        let began = Instant::now();
        try_join_all(lanes.iter_mut().map(Lane::run)).await?;
        let took = began.elapsed().as_secs_f64();
        meter.look();
        let cpu_ms = meter.cpu_ms();
        let wal = Wal::read(&self.server).await?.since(before);
        let per_second = bookings as f64 / took;
        Ok(Bare { per_second, rows, tables: by_table, batch, wal, cpu_ms, bookings })
    }
}

impl Bare {
    /// Beside what the platform did.
    pub(crate) fn text(&self, platform: f64) -> String {
        let each = |count: u64| count as f64 / self.bookings as f64;
        let tables = self.tables.iter().map(|(name, rows)| format!("{name} {rows:.1}"));
        let tables: Vec<_> = tables.collect();
        format!(
            "bare database: **{:.0}** bookings a second ({:.1} rows each, {} bookings a \
             transaction; {:.2} flushes, {:.1} KB of log and {:.3} CPU-ms each); the platform does \
             {:.2} of it\n\nrows each, by table: {}",
            self.per_second,
            self.rows,
            self.batch,
            each(self.wal.syncs),
            each(self.wal.bytes) / 1_024.0,
            self.cpu_ms / self.bookings as f64,
            platform / self.per_second,
            tables.join(", ")
        )
    }
}

/// In how many transactions a booking's rows of one database are written: its main row's first
/// version, and each further one.
fn steps(tables: &[Table]) -> u32 {
    let most = tables.iter().map(|table| table.updated.round()).fold(0.0, f64::max);
    (most as u32 + 1).min(MOST_STEPS)
}

/// Makes the copies that are written to, and those that are written, each row with its booking's
/// number.
async fn prepare(client: &Client, tables: &[Table], bookings: u64) -> Result<(), Failure> {
    let mut text = "drop schema if exists bare cascade; create schema bare;".to_owned();
    for table in tables {
        let name = &table.name;
        write!(text, "create table bare.{name} (like public.{name} including all);")?;
        if table.is_outbox {
            let count = (table.inserted * bookings as f64).ceil();
            write!(
                text,
                "create unlogged table bare.src_{name} as
                 select n as nth, (n / {:.6})::bigint as booking,
                     'booking-events'::text as topic, repeat('x', {EVENTS_BYTES}) as events
                 from generate_series(0, {count}) n;",
                table.inserted.max(RARE)
            )?;
        } else {
            write!(
                text,
                "create unlogged table bare.src_{name} as
                     select (t.nth / {:.6})::bigint as booking, t.* from (
                         select row_number() over () - 1 as nth, * from public.{name} limit {:.0}
                     ) t;",
                table.inserted.max(RARE),
                (table.inserted * bookings as f64).ceil().max(1.0)
            )?;
        }
        write!(text, "create index on bare.src_{name} (booking); analyze bare.src_{name};")?;
        if table.inserted < RARE {
            write!(text, "insert into bare.{name} select * from public.{name};")?;
        }
    }
    Ok(client.batch_execute(&text).await?)
}

/// One connection that writes its share of the batches.
struct Lane {
    client: Client,
    /// For each step, what is written for the bookings from `$1` to before `$2`.
    steps: Vec<Vec<Statement>>,
    number: usize,
    batch: u64,
    bookings: u64,
}

impl Lane {
    async fn new(
        client: Client,
        tables: &[Table],
        (number, batch, bookings): (usize, u64, u64),
    ) -> Result<Self, Failure> {
        // Plans are made while the tables are empty; each row is to be found by its key ever after.
        client.batch_execute(BY_KEY).await?;
        let count = steps(tables);
        let mut all = Vec::new();
        for step in 0..count {
            let mut statements = Vec::new();
            for table in tables {
                for text in table.statements(&client, (step, count)).await? {
                    statements.push(client.prepare(&text).await?);
                }
            }
            all.push(statements);
        }
        Ok(Self { client, steps: all, number, batch, bookings })
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let batches = self.bookings.div_ceil(self.batch);
        for batch in (0..batches).skip(self.number).step_by(LANES) {
            let from = i64::try_from(batch * self.batch)?;
            let to = i64::try_from((batch + 1) * self.batch)?;
            for statements in &self.steps {
                let tx = self.client.transaction().await?;
                for statement in statements {
                    tx.execute(statement, &[&from, &to]).await?;
                }
                tx.commit().await?;
            }
        }
        Ok(())
    }
}

impl Table {
    /// What one step of so many writes.
    async fn statements(
        &self,
        client: &Client,
        (step, steps): (u32, u32),
    ) -> Result<Vec<String>, Failure> {
        let name = &self.name;
        let columns = columns(client, name).await?;
        let mut found = Vec::new();
        if self.inserted >= RARE {
            // Rows of one booking are spread over the steps, as a history is.
            let share = format!("nth % {steps} = {step}");
            let share = if self.inserted > 1.5 { share } else { format!("0 = {step}") };
            let (into, from) = if self.is_outbox {
                let into = "(seq, topic, events) overriding system value";
                (into.to_owned(), "nth, topic, events".to_owned())
            } else {
                let list = columns.join(", ");
                (format!("({list}) overriding system value"), list)
            };
            found.push(format!(
                "insert into bare.{name} {into} select {from} from bare.src_{name} s
                 where booking >= $1 and booking < $2 and {share} on conflict do nothing"
            ));
        }
        if self.is_outbox {
            found.push(format!(
                "delete from bare.{name} o using bare.src_{name} s
                 where o.seq = s.nth and s.booking >= $1 and s.booking < $2"
            ));
        } else if self.updated >= RARE && self.updated.round() as u32 >= step.max(1) {
            found.push(self.update(client, columns.last().map_or("", String::as_str)).await?);
        }
        Ok(found)
    }

    /// Another version of each row; of a single one where rows are not those of bookings.
    async fn update(&self, client: &Client, column: &str) -> Result<String, Failure> {
        let name = &self.name;
        if self.inserted < RARE {
            return Ok(format!(
                "update bare.{name} set {column} = {column}
                 where ctid = (select ctid from bare.{name} limit 1) and $1::bigint < $2::bigint"
            ));
        }
        let keys = keys(client, name).await?;
        let same: Vec<_> = keys.iter().map(|key| format!("t.{key} = s.{key}")).collect();
        Ok(format!(
            "update bare.{name} t set {column} = t.{column} from bare.src_{name} s
             where {} and s.booking >= $1 and s.booking < $2",
            same.join(" and ")
        ))
    }
}

async fn columns(client: &Client, table: &str) -> Result<Vec<String>, Failure> {
    let ask = "select column_name::text from information_schema.columns
               where table_schema = 'public' and table_name = $1 order by ordinal_position";
    names(client, ask, table).await
}

async fn keys(client: &Client, table: &str) -> Result<Vec<String>, Failure> {
    let ask = "select a.attname::text from pg_index i
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
               where i.indisprimary and i.indrelid = ('public.' || $1)::regclass";
    names(client, ask, table).await
}

async fn names(client: &Client, ask: &str, table: &str) -> Result<Vec<String>, Failure> {
    let rows = client.query(ask, &[&table]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn connect(server: &str, database: &str, tasks: &Tasks) -> Result<Client, Failure> {
    let (client, connection) =
        tokio_postgres::connect(&format!("{server}/{database}"), NoTls).await?;
    tasks.spawn("postgres", async move {
        // Whoever asks over it learns why.
        let _ended = connection.await;
    });
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_steps_as_a_row_has_versions() {
        let table = |inserted, updated| Table {
            name: "bookings".to_owned(),
            inserted,
            updated,
            is_outbox: false,
        };
        assert_eq!(steps(&[table(1.0, 0.0)]), 1);
        assert_eq!(steps(&[table(6.1, 0.0), table(1.0, 4.98)]), 6);
        assert_eq!(steps(&[table(1.0, 100.0)]), MOST_STEPS);
    }
}
