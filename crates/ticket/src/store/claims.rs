//! Claims: one row per seat that is not free, unique on (event, seat). What keeps a seat from being
//! sold twice.

use std::collections::{HashMap, HashSet};

use db::{Error, Sql, Tx};
use kernel::{EventId, HoldId, SeatRef, Timestamp};

use super::corrupt;

/// A seat that a hold claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim<'a> {
    /// The event.
    pub event_id: EventId,
    /// The seat.
    pub seat: &'a SeatRef,
    /// The hold.
    pub hold_id: HoldId,
}

/// Which of these seats are taken, and until when, where they are only held.
pub async fn find(
    tx: &mut Tx,
    seats: &[(EventId, &SeatRef)],
) -> Result<HashMap<EventId, HashMap<SeatRef, Option<Timestamp>>>, Error> {
    let rows = seats.iter().map(|(event_id, seat)| vec![(*event_id).into(), seat.as_str().into()]);
    let mut found: HashMap<EventId, HashMap<SeatRef, Option<Timestamp>>> = HashMap::new();
    for row in tx.query_all(FIND, rows.collect()).await? {
        found.entry(row.get(0)?).or_default().insert(seat(&row.get::<String>(1)?)?, row.get(2)?);
    }
    Ok(found)
}

const FIND: Sql = Sql::split(
    "select c.event_id, c.seat, c.expires_at
     from (select * from unnest($1::uuid[], $2::text[]) w (event_id, seat) limit $3) w
     join claims c on c.event_id = w.event_id and c.seat = w.seat",
    "select event_id, seat, expires_at from claims where event_id = $1 and seat = $2",
);

/// Claims seats for holds until their expiry, and returns which claims were won; the others belong
/// to somebody else. `claims` are sorted by event and seat, so that no two transactions wait for
/// each other.
pub async fn take(
    tx: &mut Tx,
    claims: &[(Claim<'_>, Timestamp)],
) -> Result<HashSet<(EventId, SeatRef)>, Error> {
    let rows = claims.iter().map(|(claim, expires_at)| {
        let mut row = key(claim);
        row.push((*expires_at).into());
        row
    });
    let won = tx.effects(TAKE, 2, rows.collect()).await?;
    won.iter().map(|row| Ok((row.get(0)?, seat(&row.get::<String>(1)?)?))).collect()
}

const TAKE: Sql = Sql::split(
    "insert into claims (event_id, seat, hold_id, state, expires_at)
     select event_id, seat, hold_id, 'held', expires_at
     from (select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[])
             w (event_id, seat, hold_id, expires_at) limit $5) w
     on conflict (event_id, seat) do nothing
     returning event_id, seat",
    "insert into claims (event_id, seat, hold_id, state, expires_at)
     values ($1, $2, $3, 'held', $4)
     on conflict (event_id, seat) do nothing",
);

/// Makes claims sales; returns how many of them the holds had.
pub async fn sell(tx: &mut Tx, claims: &[Claim<'_>]) -> Result<u64, Error> {
    tx.execute_all(SELL, claims.iter().map(key).collect()).await
}

const SELL: Sql = Sql::split(
    "update claims c set state = 'sold', expires_at = null
     from (select * from unnest($1::uuid[], $2::text[], $3::uuid[])
             w (event_id, seat, hold_id) limit $4) w
     where c.event_id = w.event_id and c.seat = w.seat and c.hold_id = w.hold_id",
    "update claims set state = 'sold', expires_at = null
     where event_id = $1 and seat = $2 and hold_id = $3",
);

/// Frees seats; returns how many of them the holds had.
pub async fn free(tx: &mut Tx, claims: &[Claim<'_>]) -> Result<u64, Error> {
    tx.execute_all(FREE, claims.iter().map(key).collect()).await
}

const FREE: Sql = Sql::split(
    "delete from claims c
     using (select * from unnest($1::uuid[], $2::text[], $3::uuid[])
              w (event_id, seat, hold_id) limit $4) w
     where c.event_id = w.event_id and c.seat = w.seat and c.hold_id = w.hold_id",
    "delete from claims where event_id = $1 and seat = $2 and hold_id = $3",
);

fn key(claim: &Claim<'_>) -> Vec<db::Value> {
    vec![claim.event_id.into(), claim.seat.as_str().into(), claim.hold_id.into()]
}

/// Reads a seat as stored.
pub(super) fn seat(text: &str) -> Result<SeatRef, Error> {
    text.parse().map_err(|error| corrupt("seat", error))
}
