//! Holds: who set which places aside, until when, and what became of it.

use std::collections::{HashMap, HashSet};

use db::{Error, Row, Sql, Tx};
use kernel::{EventId, HoldId, Timestamp};

use super::{claims, corrupt};
use crate::domain::hold::{Hold, HoldStatus, Places};

/// Holds by their ids.
pub async fn find(tx: &mut Tx, ids: &[HoldId]) -> Result<HashMap<HoldId, Hold>, Error> {
    by_id(tx, FIND, ids).await
}

const FIND: Sql = Sql::split(
    "select h.hold_id, h.event_id, h.account_id, h.fingerprint, h.seats, h.section, h.quantity,
       h.status, h.expires_at
     from (select * from unnest($1::uuid[]) w (hold_id) limit $2) w
     join holds h on h.hold_id = w.hold_id",
    "select hold_id, event_id, account_id, fingerprint, seats, section, quantity, status, expires_at
     from holds where hold_id = $1",
);

/// Holds by their ids, which nobody else can change until this transaction ends.
pub async fn lock(tx: &mut Tx, ids: &[HoldId]) -> Result<HashMap<HoldId, Hold>, Error> {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    by_id(tx, LOCK, &sorted).await
}

const LOCK: Sql = Sql::split(
    "select h.hold_id, h.event_id, h.account_id, h.fingerprint, h.seats, h.section, h.quantity,
       h.status, h.expires_at
     from (select * from unnest($1::uuid[]) w (hold_id) limit $2) w
     join holds h on h.hold_id = w.hold_id
     order by h.hold_id for update of h",
    FIND.sqlite,
);

async fn by_id(tx: &mut Tx, sql: Sql, ids: &[HoldId]) -> Result<HashMap<HoldId, Hold>, Error> {
    let rows = tx.query_all(sql, ids.iter().map(|id| vec![(*id).into()]).collect()).await?;
    rows.iter().map(|row| hold(row).map(|hold| (hold.hold_id, hold))).collect()
}

/// Holds that have lapsed and still have their places, the oldest first; nobody else can change
/// them until this transaction ends. Those that others are changing are left to them.
pub async fn lock_lapsed(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<Hold>, Error> {
    let rows = tx.query(LOCK_LAPSED, &[now.into(), limit.into()]).await?;
    rows.iter().map(hold).collect()
}

const LOCK_LAPSED: Sql = Sql::split(
    "select hold_id, event_id, account_id, fingerprint, seats, section, quantity, status, expires_at
     from holds where status = 'held' and expires_at <= $1
     order by expires_at limit $2 for update skip locked",
    "select hold_id, event_id, account_id, fingerprint, seats, section, quantity, status, expires_at
     from holds where status = 'held' and expires_at <= $1 order by expires_at limit $2",
);

/// The events of holds that have lapsed and still have their places, as far as `limit` holds go.
pub async fn lapsed_events(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<EventId>, Error> {
    let rows = tx
        .query(
            "select distinct event_id
             from (select event_id from holds where status = 'held' and expires_at <= $1
                   order by expires_at limit $2) h",
            &[now.into(), limit.into()],
        )
        .await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Whether a hold has lapsed and still has its places.
pub async fn any_lapsed(tx: &mut Tx, now: Timestamp) -> Result<bool, Error> {
    Ok(!lapsed_events(tx, now, 1).await?.is_empty())
}

/// Writes new holds, and returns which were written; the others' ids are taken. `holds` are sorted
/// by id.
pub async fn insert(tx: &mut Tx, holds: &[(&Hold, Timestamp)]) -> Result<HashSet<HoldId>, Error> {
    let row = |(hold, now): &(&Hold, Timestamp)| {
        let seats: serde_json::Value =
            hold.places.as_seats().iter().map(|seat| seat.as_str()).collect();
        let section = match &hold.places {
            Places::Seats(_) => "",
            Places::Admissions { section, .. } => section,
        };
        vec![
            hold.hold_id.into(),
            hold.event_id.into(),
            hold.account_id.into(),
            hold.fingerprint.as_str().into(),
            seats.to_string().into(),
            section.into(),
            hold.places.quantity().into(),
            hold.expires_at.into(),
            (*now).into(),
        ]
    };
    let rows = tx.effects(INSERT, 1, holds.iter().map(row).collect()).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

const INSERT: Sql = Sql::split(
    "insert into holds (hold_id, event_id, account_id, fingerprint, seats, section, quantity,
       status, expires_at, held_at)
     select hold_id, event_id, account_id, fingerprint, seats::jsonb, nullif(section, ''),
       quantity, 'held', expires_at, held_at
     from (select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
             $6::text[], $7::bigint[], $8::timestamptz[], $9::timestamptz[])
             w (hold_id, event_id, account_id, fingerprint, seats, section, quantity, expires_at,
                held_at) limit $10) w
     on conflict (hold_id) do nothing
     returning hold_id",
    "insert into holds (hold_id, event_id, account_id, fingerprint, seats, section, quantity,
       status, expires_at, held_at)
     values ($1, $2, $3, $4, $5, nullif($6, ''), $7, 'held', $8, $9)
     on conflict (hold_id) do nothing",
);

/// Takes back holds that this transaction wrote, because their places were lost to others.
pub async fn take_back(tx: &mut Tx, ids: &[HoldId]) -> Result<u64, Error> {
    tx.execute_all(TAKE_BACK, ids.iter().map(|id| vec![(*id).into()]).collect()).await
}

const TAKE_BACK: Sql = Sql::split(
    "delete from holds h using (select * from unnest($1::uuid[]) w (hold_id) limit $2) w
     where h.hold_id = w.hold_id",
    "delete from holds where hold_id = $1",
);

/// What becomes of a hold.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The hold.
    pub hold_id: HoldId,
    /// What it is now.
    pub status: HoldStatus,
    /// Why.
    pub reason: &'a str,
    /// Since when.
    pub at: Timestamp,
}

/// Notes what became of holds that this transaction has locked.
pub async fn end(tx: &mut Tx, endings: &[Ending<'_>]) -> Result<u64, Error> {
    let row = |ending: &Ending<'_>| {
        vec![
            ending.hold_id.into(),
            ending.status.as_str().into(),
            ending.reason.into(),
            ending.at.into(),
        ]
    };
    tx.execute_all(END, endings.iter().map(row).collect()).await
}

const END: Sql = Sql::split(
    "update holds h set status = w.status, reason = w.reason, ended_at = w.at
     from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
             w (hold_id, status, reason, at) limit $5) w
     where h.hold_id = w.hold_id",
    "update holds set status = $2, reason = $3, ended_at = $4 where hold_id = $1",
);

fn hold(row: &Row) -> Result<Hold, Error> {
    let section: Option<String> = row.get(5)?;
    let places = match section {
        Some(section) => Places::Admissions { section, quantity: row.get(6)? },
        None => {
            let seats: serde_json::Value = row.get(4)?;
            let seats = seats.as_array().ok_or_else(|| corrupt("holds.seats", "not a list"))?;
            let seat = |seat: &serde_json::Value| claims::seat(seat.as_str().unwrap_or_default());
            Places::Seats(seats.iter().map(seat).collect::<Result<_, _>>()?)
        }
    };
    let status: String = row.get(7)?;
    Ok(Hold {
        hold_id: row.get(0)?,
        event_id: row.get(1)?,
        account_id: row.get(2)?,
        fingerprint: row.get(3)?,
        places,
        status: HoldStatus::named(&status).ok_or_else(|| corrupt("holds.status", status))?,
        expires_at: row.get(8)?,
    })
}
