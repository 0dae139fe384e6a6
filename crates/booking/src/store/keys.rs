//! The SQL of idempotency keys: what each stands for, once and for all.

use std::collections::{HashMap, HashSet};

use db::{Engine, Sql, Tx};
use kernel::{AccountId, BookingId, Timestamp};

use super::stored;
use crate::domain::{Booking, RefusedWish};

/// What a key is to stand for.
pub(crate) enum Claim<'a> {
    /// A new booking.
    Booking(&'a Booking),
    /// A wish refused without one.
    Refusal(&'a RefusedWish),
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The booking of this id.
    Booking(BookingId),
    /// A wish that was refused without one.
    Refusal(Box<RefusedWish>),
}

impl Claim<'_> {
    /// The account and its key.
    pub(crate) const fn key(&self) -> (AccountId, &String) {
        match self {
            Self::Booking(booking) => (booking.account_id, &booking.key),
            Self::Refusal(wish) => (wish.account_id, &wish.key),
        }
    }

    /// Of the booking, or as it would be.
    pub(crate) const fn id(&self) -> BookingId {
        match self {
            Self::Booking(booking) => booking.id,
            Self::Refusal(wish) => wish.id,
        }
    }

    const fn refused(&self) -> Option<&RefusedWish> {
        match self {
            Self::Booking(_) => None,
            Self::Refusal(wish) => Some(wish),
        }
    }
}

/// Has each key stand for what is claimed, unless it stands for something already; answers the ids
/// of those that do. Of two claims of one key the first counts.
pub(crate) async fn claim_all(
    tx: &mut Tx,
    claims: &[Claim<'_>],
) -> Result<HashSet<BookingId>, db::Error> {
    // In the order of keys, so that two transactions never wait for each other's rows crosswise.
    // On SQLite without `returning`, for which it would keep a copy of each page it changes.
    const CLAIM: Sql = Sql::split(
        "insert into booking_keys \
         (account_id, idempotency_key, id, event_id, choice, refusal, refused_at) \
         select account_id, idempotency_key, id, event_id, choice::json, refusal::json, \
         refused_at from (select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], \
         $5::text[], $6::text[], $7::timestamptz[]) with ordinality claim (account_id, \
         idempotency_key, id, event_id, choice, refusal, refused_at, position) limit $8) claim \
         order by account_id, idempotency_key, position \
         on conflict (account_id, idempotency_key) do nothing returning id",
        "insert into booking_keys \
         (account_id, idempotency_key, id, event_id, choice, refusal, refused_at) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict (account_id, idempotency_key) do nothing",
    );
    let row = |claim: &Claim<'_>| {
        let (account, key) = claim.key();
        let mut row = vec![account.into(), key.as_str().into(), claim.id().into()];
        row.extend(stored::refused(claim.refused()));
        row
    };
    if tx.engine() == Engine::Sqlite {
        let mut claimed = HashSet::with_capacity(claims.len());
        for claim in claims {
            if tx.execute(CLAIM, &row(claim)).await? == 1 {
                claimed.insert(claim.id());
            }
        }
        return Ok(claimed);
    }
    let rows = tx.query_all(CLAIM, claims.iter().map(row).collect()).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// What those of these keys stand for that stand for anything.
pub(crate) async fn find_all(
    tx: &mut Tx,
    keys: impl Iterator<Item = (AccountId, &String)>,
) -> Result<HashMap<(AccountId, String), Answer>, db::Error> {
    const FIND: Sql = Sql::split(
        "select account_id, idempotency_key, id, event_id, choice, refusal, refused_at \
         from booking_keys join (select * from unnest($1::uuid[], $2::text[]) \
         k (account_id, idempotency_key) limit $3) k using (account_id, idempotency_key)",
        "select account_id, idempotency_key, id, event_id, choice, refusal, refused_at \
         from booking_keys where account_id = $1 and idempotency_key = $2",
    );
    let keys = keys.map(|(account, key)| vec![account.into(), key.as_str().into()]).collect();
    let rows = tx.query_all(FIND, keys).await?;
    rows.iter().map(stored::answer).collect()
}

/// Forgets up to `limit` refusals from before `before`, the oldest first; answers how many.
pub(crate) async fn forget(tx: &mut Tx, before: Timestamp, limit: u32) -> Result<u64, db::Error> {
    let sql = "delete from booking_keys where (account_id, idempotency_key) in \
         (select account_id, idempotency_key from booking_keys where refused_at < $1 \
         order by refused_at limit $2)";
    tx.execute(sql, &[before.into(), limit.into()]).await
}
