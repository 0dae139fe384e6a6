//! Inventories: what may be sold of an event, and the tally of what is left.

use std::sync::Arc;

use db::{Error, Row, Sql, Tx};
use kernel::{EventId, OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};

use super::corrupt;
use crate::domain::plan::{Kind, Plan, Row as PlanRow, Section};

/// What may be sold of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The event.
    pub event_id: EventId,
    /// Whose event it is.
    pub organization_id: OrganizationId,
    /// Its places.
    pub plan: Arc<Plan>,
    /// The most places of one hold.
    pub max_per_hold: u32,
    /// Codes are good until then.
    pub ends_at: Timestamp,
}

/// What is left of an event, as of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Grows by one with every transaction that changes something.
    pub version: i64,
    /// Places that are neither held nor sold.
    pub available: i64,
}

/// Opens an inventory with all places free; `false` if there is one for this event.
pub async fn open(tx: &mut Tx, inventory: &Inventory, now: Timestamp) -> Result<bool, Error> {
    let capacity = i64::from(inventory.plan.capacity());
    let opened = tx
        .execute(
            "insert into inventories (event_id, organization_id, plan, max_per_hold, ends_at,
               capacity, opened_at)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (event_id) do nothing",
            &[
                inventory.event_id.into(),
                inventory.organization_id.into(),
                stored_plan(&inventory.plan)?.into(),
                inventory.max_per_hold.into(),
                inventory.ends_at.into(),
                capacity.into(),
                now.into(),
            ],
        )
        .await?;
    if opened == 0 {
        return Ok(false);
    }
    tx.execute(
        "insert into tallies (event_id, available, version) values ($1, $2, 1)",
        &[inventory.event_id.into(), capacity.into()],
    )
    .await?;
    let sections = inventory.plan.sections().iter().map(|section| {
        vec![
            inventory.event_id.into(),
            section.key.as_str().into(),
            section.kind.as_str().into(),
            section.capacity.into(),
        ]
    });
    tx.execute_all(INSERT_SECTIONS, sections.collect()).await?;
    Ok(true)
}

/// Gives an inventory other terms, while nothing has been held of it; `false` if something has.
pub async fn amend(tx: &mut Tx, inventory: &Inventory) -> Result<bool, Error> {
    let amended = tx
        .execute(
            "update inventories set max_per_hold = $2, ends_at = $3
             where event_id = $1
               and exists (select 1 from tallies where event_id = $1 and version = 1)",
            &[inventory.event_id.into(), inventory.max_per_hold.into(), inventory.ends_at.into()],
        )
        .await?;
    Ok(amended == 1)
}

const INSERT_SECTIONS: Sql = Sql::split(
    "insert into sections (event_id, section, kind, capacity, held, sold)
     select event_id, section, kind, capacity, 0, 0
     from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
             w (event_id, section, kind, capacity) limit $5) w",
    "insert into sections (event_id, section, kind, capacity, held, sold)
     values ($1, $2, $3, $4, 0, 0)",
);

/// The inventory of an event.
pub async fn find(tx: &mut Tx, event_id: EventId) -> Result<Option<Inventory>, Error> {
    let row = tx
        .query_opt(
            "select event_id, organization_id, plan, max_per_hold, ends_at
             from inventories where event_id = $1",
            &[event_id.into()],
        )
        .await?;
    row.as_ref().map(inventory).transpose()
}

/// What is left of an event.
pub async fn tally(tx: &mut Tx, event_id: EventId) -> Result<Option<Tally>, Error> {
    let row = tx
        .query_opt("select version, available from tallies where event_id = $1", &[event_id.into()])
        .await?;
    row.map(|row| Ok(Tally { version: row.get(0)?, available: row.get(1)? })).transpose()
}

/// Notes that this transaction took so many places of each event (gave back, where negative), and
/// returns what is left. The rows stay locked until the end, so this comes last; `taken` is sorted.
pub async fn bump(tx: &mut Tx, taken: &[(EventId, i64)]) -> Result<Vec<(EventId, Tally)>, Error> {
    let rows = taken.iter().map(|(event_id, count)| vec![(*event_id).into(), (*count).into()]);
    let rows = tx.query_all(BUMP, rows.collect()).await?;
    let tally =
        |row: &Row| Ok((row.get(0)?, Tally { version: row.get(1)?, available: row.get(2)? }));
    rows.iter().map(tally).collect()
}

const BUMP: Sql = Sql::split(
    "update tallies t set available = t.available - w.taken, version = t.version + 1
     from (select l.event_id, w.taken
           from (select * from unnest($1::uuid[], $2::bigint[]) w (event_id, taken) limit $3) w
           join tallies l on l.event_id = w.event_id
           order by l.event_id for update of l) w
     where t.event_id = w.event_id
     returning t.event_id, t.version, t.available",
    "update tallies set available = available - $2, version = version + 1 where event_id = $1
     returning event_id, version, available",
);

/// Every seat of an event that is not free, and whether it is sold.
pub async fn taken(tx: &mut Tx, event_id: EventId) -> Result<Vec<(String, bool)>, Error> {
    let rows = tx
        .query("select seat, state = 'sold' from claims where event_id = $1", &[event_id.into()])
        .await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

fn inventory(row: &Row) -> Result<Inventory, Error> {
    Ok(Inventory {
        event_id: row.get(0)?,
        organization_id: row.get(1)?,
        plan: Arc::new(read_plan(row.get(2)?)?),
        max_per_hold: row.get(3)?,
        ends_at: row.get(4)?,
    })
}

/// Name, first number, seats, category, wheelchair places.
type StoredRow = (String, u32, u32, Option<String>, Vec<u32>);

#[derive(Serialize, Deserialize)]
struct StoredSection {
    key: String,
    admission: bool,
    category: String,
    capacity: u32,
    rows: Vec<StoredRow>,
}

fn stored_plan(plan: &Plan) -> Result<serde_json::Value, Error> {
    let row = |row: &PlanRow| {
        let PlanRow { name, first_number, seats, category, wheelchair } = row.clone();
        (name, first_number, seats, category, wheelchair)
    };
    let section = |section: &Section| StoredSection {
        key: section.key.clone(),
        admission: section.kind == Kind::Admission,
        category: section.category.clone(),
        capacity: section.capacity,
        rows: section.rows.iter().map(row).collect(),
    };
    let sections: Vec<_> = plan.sections().iter().map(section).collect();
    serde_json::to_value(sections).map_err(|error| corrupt("plan", error))
}

fn read_plan(stored: serde_json::Value) -> Result<Plan, Error> {
    let sections: Vec<StoredSection> =
        serde_json::from_value(stored).map_err(|error| corrupt("inventories.plan", error))?;
    let row = |(name, first_number, seats, category, wheelchair)| PlanRow {
        name,
        first_number,
        seats,
        category,
        wheelchair,
    };
    let section = |section: StoredSection| Section {
        key: section.key,
        kind: if section.admission { Kind::Admission } else { Kind::Seated },
        category: section.category,
        capacity: section.capacity,
        rows: section.rows.into_iter().map(row).collect(),
    };
    Plan::new(sections.into_iter().map(section).collect())
        .map_err(|error| corrupt("inventories.plan", error))
}
