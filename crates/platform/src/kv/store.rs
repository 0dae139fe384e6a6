//! The SQL of the key-value parts in this process: the waiting queue and the fences' term.

use db::{Db, Error, Migration, Migrations, Row, Tx, Value};
use kernel::{Failure, Timestamp};

use super::queue::{
    Settled,
    lines::{Changes, Line, Lines},
    stored::Stored,
};

const POSTGRES: Migration =
    Migration { name: "0001_kv", sql: include_str!("../../migrations/postgres/0001_kv.sql") };
const SQLITE: Migration =
    Migration { name: "0001_kv", sql: include_str!("../../migrations/sqlite/0001_kv.sql") };
const POSTGRES_OUTCOMES: Migration = Migration {
    name: "0002_kv_outcomes",
    sql: include_str!("../../migrations/postgres/0002_kv_outcomes.sql"),
};
const SQLITE_OUTCOMES: Migration = Migration {
    name: "0002_kv_outcomes",
    sql: include_str!("../../migrations/sqlite/0002_kv_outcomes.sql"),
};

/// The tables of the key-value parts that must survive a restart.
pub(super) const MIGRATIONS: Migrations = Migrations {
    owner: "kv",
    postgres: &[POSTGRES, POSTGRES_OUTCOMES],
    sqlite: &[SQLITE, SQLITE_OUTCOMES],
};

/// How many places or outcomes are read at once while the index is built.
const PAGE: u32 = 10_000;

const LINES: &str = "select line, name, last, serving, turn, settings from kv_lines order by line";
const PLACES: &str = "
    select line, number, member, content, joined_at, leased_until, attempts from kv_places
    where (line, number) > ($1, $2) order by line, number limit $3";
const DELETE: &str = "delete from kv_places where line = $1 and number = $2";
const INSERT: &str = "
    insert into kv_places (line, number, member, content, joined_at) values ($1, $2, $3, $4, $5)";
const CLAIM: &str = "
    update kv_places set leased_until = $1, attempts = $2 where line = $3 and number = $4";
const SAVE_LINE: &str = "
    insert into kv_lines (line, name, last, serving, turn, settings)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (line) do update
    set last = excluded.last, serving = excluded.serving, turn = excluded.turn,
        settings = excluded.settings";
const OUTCOMES: &str = "
    select line, member, number, joined_at, outcome, holds_until, kept_until from kv_outcomes
    where (line, member) > ($1, $2) order by line, member limit $3";
const FORGET: &str = "delete from kv_outcomes where line = $1 and member = $2";
const KEEP: &str = "
    insert into kv_outcomes (line, member, number, joined_at, outcome, holds_until, kept_until)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (line, member) do update
    set number = excluded.number, joined_at = excluded.joined_at, outcome = excluded.outcome,
        holds_until = excluded.holds_until, kept_until = excluded.kept_until";
const NEXT_TERM: &str = "
    insert into kv_terms (one, term) values (1, 1)
    on conflict (one) do update set term = kv_terms.term + 1 returning term";

/// Begins a term that is later than all before.
pub(super) async fn next_term(db: &Db) -> Result<u64, Failure> {
    db.write(|tx| Box::pin(async { whole(&tx.query_one(NEXT_TERM, &[]).await?, 0) })).await
}

/// All lines, places and outcomes, as they were last committed.
pub(super) async fn load(db: &Db) -> Result<Lines, Failure> {
    let mut lines = Lines::default();
    for row in &rows(db, LINES, Vec::new()).await? {
        let numbers = (whole(row, 2)?, whole(row, 3)?, whole(row, 4)?);
        let settings = row.get::<String>(5)?;
        let line = Line::restored(row.get::<String>(1)?.into(), numbers, &settings);
        lines.restore_line(index(row)?, line)?;
    }
    load_places(db, &mut lines).await?;
    load_outcomes(db, &mut lines).await?;
    Ok(lines)
}

async fn load_places(db: &Db, lines: &mut Lines) -> Result<(), Failure> {
    let mut after = (-1_i64, -1_i64);
    loop {
        let rows = rows(db, PLACES, vec![after.0.into(), after.1.into(), PAGE.into()]).await?;
        for row in &rows {
            let (member, content) = (row.get::<String>(2)?, row.get::<String>(3)?);
            let (joined_at, leased_until) = (row.get(4)?, row.get::<Option<Timestamp>>(5)?);
            let place = Stored::new(whole(row, 1)?, joined_at, &member, &content);
            lines.restore_place(index(row)?, place, leased_until, row.get(6)?)?;
        }
        match rows.last() {
            Some(last) => after = (last.get(0)?, last.get(1)?),
            None => return Ok(()),
        }
    }
}

async fn load_outcomes(db: &Db, lines: &mut Lines) -> Result<(), Failure> {
    let mut after = (-1_i64, String::new());
    loop {
        let rows = rows(db, OUTCOMES, vec![after.0.into(), after.1.into(), PAGE.into()]).await?;
        for row in &rows {
            let (number, outcome) = (whole(row, 2)?, row.get(4)?);
            let (holds_until, kept_until) = (row.get(5)?, row.get(6)?);
            let settled = Settled { number, outcome, holds_until, kept_until };
            lines.restore_outcome(index(row)?, &row.get::<String>(1)?, (settled, row.get(3)?))?;
        }
        match rows.last() {
            Some(last) => after = (last.get(0)?, last.get(1)?),
            None => return Ok(()),
        }
    }
}

async fn rows(db: &Db, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, Failure> {
    db.read(move |tx| {
        let params = params.clone();
        Box::pin(async move { Ok(tx.query(sql, &params).await?) })
    })
    .await
}

/// Stores what a batch of decisions changed.
pub(super) async fn save(tx: &mut Tx, changes: &Changes) -> Result<(), Error> {
    // Those that left are removed first: a member may have taken a new place since.
    let rows = changes.gone.iter().map(|(line, number)| vec![at(*line), int(*number)]);
    many(tx, DELETE, rows.collect()).await?;
    let joined = changes
        .joined
        .iter()
        .filter(|(line, place)| !changes.gone.contains(&(*line, place.number)));
    let rows = joined.map(|(line, place)| {
        let (member, content) = (place.member().into(), place.content().into());
        vec![at(*line), int(place.number), member, content, place.joined_at.into()]
    });
    many(tx, INSERT, rows.collect()).await?;
    let rows = changes.claimed.iter().map(|claimed| {
        vec![claimed.until.into(), claimed.attempts.into(), at(claimed.line), int(claimed.number)]
    });
    many(tx, CLAIM, rows.collect()).await?;
    let rows = changes.lines.iter().map(|(line, saved)| {
        let name = (&*saved.name).into();
        let settings = (&*saved.settings).into();
        vec![at(*line), name, int(saved.last), int(saved.serving), int(saved.turn), settings]
    });
    many(tx, SAVE_LINE, rows.collect()).await?;
    save_outcomes(tx, changes).await
}

async fn save_outcomes(tx: &mut Tx, changes: &Changes) -> Result<(), Error> {
    let (mut kept, mut forgotten) = (Vec::new(), Vec::new());
    for ((line, member), outcome) in &changes.outcomes {
        let mut row = vec![at(*line), (&**member).into()];
        let Some(outcome) = outcome else {
            forgotten.push(row);
            continue;
        };
        row.extend([int(outcome.number), outcome.joined_at.into(), (&*outcome.text).into()]);
        row.extend([outcome.holds_until.into(), outcome.kept_until.into()]);
        kept.push(row);
    }
    many(tx, FORGET, forgotten).await?;
    many(tx, KEEP, kept).await
}

async fn many(tx: &mut Tx, sql: &'static str, rows: Vec<Vec<Value>>) -> Result<(), Error> {
    if !rows.is_empty() {
        tx.execute_many(sql, &rows).await?;
    }
    Ok(())
}

fn at(line: usize) -> Value {
    Value::I64(i64::try_from(line).unwrap_or(i64::MAX))
}

fn int(number: u64) -> Value {
    Value::I64(i64::try_from(number).unwrap_or(i64::MAX))
}

fn whole(row: &Row, column: usize) -> Result<u64, Failure> {
    u64::try_from(row.get::<i64>(column)?).map_err(Failure::internal)
}

fn index(row: &Row) -> Result<usize, Failure> {
    usize::try_from(row.get::<i64>(0)?).map_err(Failure::internal)
}
