//! Counters of sections: how many places are held and sold. Kept, never counted.

use std::collections::{HashMap, HashSet};

use db::{Error, Row, Sql, Tx};
use kernel::EventId;

/// Counters of one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The section's key.
    pub section: String,
    /// How many places it has.
    pub capacity: i64,
    /// How many are held.
    pub held: i64,
    /// How many are sold.
    pub sold: i64,
}

/// A change of one section's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift<'a> {
    /// The event.
    pub event_id: EventId,
    /// The section's key.
    pub section: &'a str,
    /// How many more are held.
    pub held: i64,
    /// How many more are sold.
    pub sold: i64,
}

/// Changes counters where held + sold stays within the capacity, and returns which were changed.
/// `shifts` are sorted by event and section, each once, so that no two transactions wait for each
/// other.
pub async fn shift(tx: &mut Tx, shifts: &[Shift<'_>]) -> Result<HashSet<(EventId, String)>, Error> {
    let rows = shifts.iter().map(|shift| {
        vec![shift.event_id.into(), shift.section.into(), shift.held.into(), shift.sold.into()]
    });
    let rows = tx.effects(SHIFT, 2, rows.collect()).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

const SHIFT: Sql = Sql::split(
    "update sections s set held = s.held + w.held, sold = s.sold + w.sold
     from (select l.event_id, l.section, w.held, w.sold
           from (select * from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[])
                   w (event_id, section, held, sold) limit $5) w
           join sections l on l.event_id = w.event_id and l.section = w.section
           order by l.event_id, l.section for update of l) w
     where s.event_id = w.event_id and s.section = w.section
       and s.held + w.held + s.sold + w.sold <= s.capacity
     returning s.event_id, s.section",
    "update sections set held = held + $3, sold = sold + $4
     where event_id = $1 and section = $2 and held + $3 + sold + $4 <= capacity",
);

/// How many places of these sections are free.
pub async fn free(
    tx: &mut Tx,
    wanted: &[(EventId, &str)],
) -> Result<HashMap<EventId, HashMap<String, i64>>, Error> {
    let rows = wanted.iter().map(|(event_id, section)| vec![(*event_id).into(), (*section).into()]);
    let rows = tx.query_all(FREE, rows.collect()).await?;
    let mut free: HashMap<EventId, HashMap<String, i64>> = HashMap::new();
    for row in rows {
        free.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
    }
    Ok(free)
}

const FREE: Sql = Sql::split(
    "select s.event_id, s.section, s.capacity - s.held - s.sold
     from (select * from unnest($1::uuid[], $2::text[]) w (event_id, section) limit $3) w
     join sections s on s.event_id = w.event_id and s.section = w.section",
    "select event_id, section, capacity - held - sold from sections
     where event_id = $1 and section = $2",
);

/// The counters of all sections of an event.
pub async fn counts(tx: &mut Tx, event_id: EventId) -> Result<Vec<Counts>, Error> {
    let rows = tx
        .query(
            "select section, capacity, held, sold from sections where event_id = $1",
            &[event_id.into()],
        )
        .await?;
    let counts = |row: &Row| {
        Ok(Counts {
            section: row.get(0)?,
            capacity: row.get(1)?,
            held: row.get(2)?,
            sold: row.get(3)?,
        })
    };
    rows.iter().map(counts).collect()
}
