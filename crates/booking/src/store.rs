//! The SQL of bookings, their history and their dead letters. One function, one promise.

mod history;
pub(crate) mod keys;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use db::{Db, History, Sql, Tx};
use kernel::{AccountId, BookingId, Timestamp};

pub(crate) use self::history::{StoredStep, history, steps};
use crate::{
    change::{Change, DeadLetter},
    domain::{Booking, Step},
};

/// All columns but the history, in the order in which [`stored::booking`] reads them.
macro_rules! columns {
    () => {
        "id, reference, account_id, idempotency_key, event_id, choice, admitted, status, \
         payment_status, terms, places, lines, total_minor, currency, payment_id, client_secret, \
         reason, refusal, expires_at, created_at, confirmed_at, cancelled_at, due_at, leased, \
         lease, attempts, undo, cancelling, refunds_failed, version"
    };
}

/// Writes new bookings down, each with its first steps. A new booking has no offer and no payment
/// yet.
pub(crate) async fn insert_all(
    tx: &mut Tx,
    openings: impl Iterator<Item = &Change>,
) -> Result<(), db::Error> {
    const INSERT: Sql = Sql::split(
        "insert into bookings (id, reference, account_id, idempotency_key, event_id, choice, \
         admitted, status, payment_status, reason, expires_at, created_at, due_at, leased, lease, \
         attempts, undo, cancelling, refunds_failed, version, history) \
         select id, reference, account_id, idempotency_key, event_id, choice::json, admitted, \
         status, payment_status, '', expires_at, created_at, due_at, leased, lease, 0, '', \
         false, 0, version, history from (select * from unnest($1::uuid[], $2::text[], $3::uuid[], \
         $4::text[], $5::uuid[], $6::text[], $7::boolean[], $8::text[], $9::text[], \
         $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::boolean[], \
         $14::bigint[], $15::bigint[], $16::text[]) new (id, reference, account_id, \
         idempotency_key, event_id, choice, admitted, status, payment_status, expires_at, \
         created_at, due_at, leased, lease, version, history) limit $17) new",
        "insert into bookings (id, reference, account_id, idempotency_key, event_id, choice, \
         admitted, status, payment_status, reason, expires_at, created_at, due_at, leased, lease, \
         attempts, undo, cancelling, refunds_failed, version, history) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $11, $12, $13, $14, 0, '', 0, 0, \
         $15, $16)",
    );
    let row = |opening: &Change| {
        let mut row = stored::opening(&opening.booking);
        row.push(History::of(steps(opening))?.into());
        Ok(row)
    };
    let rows = openings.map(row).collect::<Result<_, db::Error>>()?;
    tx.execute_all(INSERT, rows).await?;
    Ok(())
}

/// Writes bookings as they are now, each with the steps that led there; their rows are locked.
pub(crate) async fn save_all<'a>(
    tx: &mut Tx,
    bookings: impl Iterator<Item = (&'a Booking, &'a [StoredStep<'static>])>,
) -> Result<(), db::Error> {
    const SAVE: Sql = Sql::split(
        "update bookings b set status = c.status, payment_status = c.payment_status, \
         terms = coalesce(c.terms::json, b.terms), places = coalesce(c.places::json, b.places), \
         lines = coalesce(c.lines::json, b.lines), \
         total_minor = coalesce(c.total_minor, b.total_minor), \
         currency = coalesce(c.currency, b.currency), payment_id = c.payment_id, \
         client_secret = c.client_secret, reason = c.reason, refusal = c.refusal::json, \
         expires_at = c.expires_at, confirmed_at = c.confirmed_at, \
         cancelled_at = c.cancelled_at, due_at = c.due_at, leased = c.leased, lease = c.lease, \
         attempts = c.attempts, undo = c.undo, cancelling = c.cancelling, \
         refunds_failed = c.refunds_failed, version = c.version, \
         history = b.history || c.history \
         from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], \
         $6::text[], $7::bigint[], $8::text[], $9::uuid[], $10::text[], $11::text[], \
         $12::text[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], \
         $16::timestamptz[], $17::boolean[], $18::bigint[], $19::bigint[], $20::text[], \
         $21::boolean[], $22::bigint[], $23::bigint[], $24::text[]) \
         c (id, status, payment_status, terms, places, lines, total_minor, currency, payment_id, \
         client_secret, reason, refusal, expires_at, confirmed_at, cancelled_at, due_at, leased, \
         lease, attempts, undo, cancelling, refunds_failed, version, history) limit $25) c \
         where b.id = c.id",
        "update bookings set status = $2, payment_status = $3, terms = coalesce($4, terms), \
         places = coalesce($5, places), lines = coalesce($6, lines), \
         total_minor = coalesce($7, total_minor), currency = coalesce($8, currency), \
         payment_id = $9, client_secret = $10, \
         reason = $11, refusal = $12, expires_at = $13, confirmed_at = $14, cancelled_at = $15, \
         due_at = $16, leased = $17, lease = $18, attempts = $19, undo = $20, cancelling = $21, \
         refunds_failed = $22, version = $23, history = history || $24 where id = $1",
    );
    let row = |(booking, steps): (&Booking, &[StoredStep<'_>])| {
        let mut row = stored::changes(booking, steps.iter().any(StoredStep::makes_offer));
        row.push(History::of(steps)?.into());
        Ok(row)
    };
    tx.execute_all(SAVE, bookings.map(row).collect::<Result<_, db::Error>>()?).await?;
    Ok(())
}

/// The versions of those bookings that there are, which nobody else changes before this
/// transaction ends.
pub(crate) async fn lock_all(
    tx: &mut Tx,
    ids: BTreeSet<BookingId>,
) -> Result<HashMap<BookingId, i64>, db::Error> {
    const LOCK: Sql = Sql::split(
        "select id, version from bookings where id = any($1) order by id for update",
        "select id, version from bookings where id in (select unhex(value) from json_each($1))",
    );
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx.query(LOCK, &[ids.into_iter().collect::<Vec<_>>().into()]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Those bookings that there are.
pub(crate) async fn load_all(
    tx: &mut Tx,
    ids: BTreeSet<BookingId>,
) -> Result<HashMap<BookingId, Booking>, db::Error> {
    const LOAD: Sql = Sql::split(
        concat!("select ", columns!(), " from bookings where id = any($1)"),
        concat!(
            "select ",
            columns!(),
            " from bookings where id in (select unhex(value) from json_each($1))"
        ),
    );
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx.query(LOAD, &[ids.into_iter().collect::<Vec<_>>().into()]).await?;
    let bookings = rows.iter().map(stored::booking);
    bookings.map(|booking| booking.map(|booking| (booking.id, booking))).collect()
}

/// The booking.
pub(crate) async fn load(tx: &mut Tx, id: BookingId) -> Result<Option<Booking>, db::Error> {
    let row = tx.query_opt(FIND, &[id.into()]).await?;
    row.map(|row| stored::booking(&row)).transpose()
}

/// As [`load`], to show it.
pub(crate) async fn find(db: &Db, id: BookingId) -> Result<Option<Booking>, db::Error> {
    let row = db.find(FIND, vec![id.into()]).await?;
    row.map(|row| stored::booking(&row)).transpose()
}

const FIND: &str = concat!("select ", columns!(), " from bookings where id = $1");

/// An account's bookings, newest first, that are older than `before`, by way of its keys: all of
/// them are looked through, as they are in another order.
pub(crate) async fn list(
    tx: &mut Tx,
    account: AccountId,
    before: Option<BookingId>,
    limit: u32,
) -> Result<Vec<Booking>, db::Error> {
    let first = concat!(
        "select ",
        columns!(),
        " from (select id as listed from booking_keys where account_id = $1 and refusal is null
           order by id desc limit $2) k join bookings on id = listed order by id desc"
    );
    let further = concat!(
        "select ",
        columns!(),
        " from (select id as listed from booking_keys
             where account_id = $1 and refusal is null and id < $3
           order by id desc limit $2) k join bookings on id = listed order by id desc"
    );
    let rows = match before {
        None => tx.query(first, &[account.into(), limit.into()]).await?,
        Some(before) => tx.query(further, &[account.into(), limit.into(), before.into()]).await?,
    };
    rows.iter().map(stored::booking).collect()
}

/// Leases bookings that are due at `now` until `until`, the most overdue first. No two takers get
/// the same one.
pub(crate) async fn take_due(
    tx: &mut Tx,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Booking>, db::Error> {
    let sql = Sql::split(
        concat!(
            "update bookings set leased = true, lease = lease + 1, version = version + 1, \
             due_at = $2 where id in (select id from bookings where due_at <= $1 order by due_at \
             limit $3 for update skip locked) returning ",
            columns!()
        ),
        concat!(
            "update bookings set leased = 1, lease = lease + 1, version = version + 1, \
             due_at = $2 where id in (select id from bookings where due_at <= $1 order by due_at \
             limit $3) returning ",
            columns!()
        ),
    );
    let rows = tx.query(sql, &[now.into(), until.into(), limit.into()]).await?;
    rows.iter().map(stored::booking).collect()
}

/// What changes leave behind beside the bookings themselves.
#[derive(Default)]
pub(crate) struct Notes {
    revived: Vec<(BookingId, Step)>,
    dead_letters: Vec<DeadLetter>,
}

impl Notes {
    /// Adds the dead letters of a change, and those that it takes back.
    pub(crate) fn add(&mut self, change: &Change) {
        self.revived.extend(change.revived.iter().map(|step| (change.booking.id, *step)));
        self.dead_letters.extend(change.dead_letters.iter().cloned());
    }
}

/// Writes notes down.
pub(crate) async fn note_all(tx: &mut Tx, notes: Notes) -> Result<(), db::Error> {
    for (id, step) in notes.revived {
        unbury(tx, id, step).await?;
    }
    for letter in &notes.dead_letters {
        bury(tx, letter).await?;
    }
    Ok(())
}

/// Puts an undoing aside for an operator; a later failure replaces an earlier one's words.
async fn bury(tx: &mut Tx, letter: &DeadLetter) -> Result<(), db::Error> {
    tx.execute(
        "insert into dead_letters (booking_id, step, attempts, last_error, since) \
         values ($1, $2, $3, $4, $5) on conflict (booking_id, step) do update \
         set attempts = excluded.attempts, last_error = excluded.last_error",
        &[
            letter.booking_id.into(),
            letter.step.as_str().into(),
            letter.attempts.into(),
            letter.last_error.as_str().into(),
            letter.since.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Takes a dead letter back, if there is one.
async fn unbury(tx: &mut Tx, id: BookingId, step: Step) -> Result<(), db::Error> {
    tx.execute(
        "delete from dead_letters where booking_id = $1 and step = $2",
        &[id.into(), step.as_str().into()],
    )
    .await?;
    Ok(())
}

/// Whether there is a dead letter of this step.
pub(crate) async fn buried(tx: &mut Tx, id: BookingId, step: Step) -> Result<bool, db::Error> {
    let found = tx
        .query_opt(
            "select step from dead_letters where booking_id = $1 and step = $2",
            &[id.into(), step.as_str().into()],
        )
        .await?;
    Ok(found.is_some())
}

/// Dead letters by booking and step, from after the given one.
pub(crate) async fn dead_letters(
    tx: &mut Tx,
    after: Option<(BookingId, Step)>,
    limit: u32,
) -> Result<Vec<DeadLetter>, db::Error> {
    const FIRST: &str = "select booking_id, step, attempts, last_error, since from dead_letters \
         order by booking_id, step limit $1";
    const FURTHER: &str = "select booking_id, step, attempts, last_error, since \
         from dead_letters where (booking_id, step) > ($2, $3) order by booking_id, step limit $1";
    let rows = match after {
        None => tx.query(FIRST, &[limit.into()]).await?,
        Some((id, step)) => {
            tx.query(FURTHER, &[limit.into(), id.into(), step.as_str().into()]).await?
        }
    };
    let read = |row: &db::Row| {
        Ok(DeadLetter {
            booking_id: row.get(0)?,
            step: stored::named("step", &row.get::<String>(1)?, Step::named)?,
            attempts: row.get(2)?,
            last_error: row.get(3)?,
            since: row.get(4)?,
        })
    };
    rows.iter().map(read).collect()
}
