//! The SQL of bookings, their history and their dead letters. One function, one promise.

mod stored;
#[cfg(test)]
mod tests;

use db::{Sql, Tx, Value};
use kernel::{AccountId, BookingId, Timestamp};

use crate::{
    change::{DeadLetter, Transition},
    domain::{Booking, Input, Status, Step},
};

/// All columns, in the order in which [`stored::booking`] reads them.
macro_rules! columns {
    () => {
        "id, reference, account_id, idempotency_key, event_id, choice, admitted, status, \
         payment_status, terms, places, lines, total_minor, currency, payment_id, client_secret, \
         reason, refusal, expires_at, created_at, confirmed_at, cancelled_at, due_at, leased, \
         lease, attempts, undo, cancelling, refunds_failed, version"
    };
}

/// Writes a new booking down, unless its account has used its key before.
pub(crate) async fn insert(tx: &mut Tx, booking: &Booking) -> Result<bool, db::Error> {
    let inserted = tx
        .execute(
            concat!(
                "insert into bookings (",
                columns!(),
                ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                 $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30) \
                 on conflict (account_id, idempotency_key) do nothing"
            ),
            &stored::values(booking),
        )
        .await?;
    Ok(inserted == 1)
}

/// Writes a booking's new state, if it still is at `version`; says whether it was.
pub(crate) async fn save(tx: &mut Tx, booking: &Booking, version: i64) -> Result<bool, db::Error> {
    let saved = tx
        .execute(
            "update bookings set status = $3, payment_status = $4, terms = $5, places = $6, \
             lines = $7, total_minor = $8, currency = $9, payment_id = $10, client_secret = $11, \
             reason = $12, refusal = $13, expires_at = $14, confirmed_at = $15, \
             cancelled_at = $16, due_at = $17, leased = $18, lease = $19, attempts = $20, \
             undo = $21, cancelling = $22, refunds_failed = $23, version = $24 \
             where id = $1 and version = $2",
            &stored::changes(booking, version),
        )
        .await?;
    Ok(saved == 1)
}

/// The booking.
pub(crate) async fn load(tx: &mut Tx, id: BookingId) -> Result<Option<Booking>, db::Error> {
    let row = tx
        .query_opt(concat!("select ", columns!(), " from bookings where id = $1"), &[id.into()])
        .await?;
    row.map(|row| stored::booking(&row)).transpose()
}

/// The booking, which nobody else changes before this transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: BookingId) -> Result<Option<Booking>, db::Error> {
    let sql = Sql::split(
        concat!("select ", columns!(), " from bookings where id = $1 for update"),
        concat!("select ", columns!(), " from bookings where id = $1"),
    );
    let row = tx.query_opt(sql, &[id.into()]).await?;
    row.map(|row| stored::booking(&row)).transpose()
}

/// The booking that `account` opened with `key`.
pub(crate) async fn by_key(
    tx: &mut Tx,
    account: AccountId,
    key: &str,
) -> Result<Option<Booking>, db::Error> {
    let sql = concat!(
        "select ",
        columns!(),
        " from bookings where account_id = $1 and idempotency_key = $2"
    );
    let row = tx.query_opt(sql, &[account.into(), key.into()]).await?;
    row.map(|row| stored::booking(&row)).transpose()
}

/// An account's bookings, newest first, that are older than `before`.
pub(crate) async fn list(
    tx: &mut Tx,
    account: AccountId,
    before: Option<BookingId>,
    limit: u32,
) -> Result<Vec<Booking>, db::Error> {
    let first = concat!(
        "select ",
        columns!(),
        " from bookings where account_id = $1 order by id desc limit $2"
    );
    let further = concat!(
        "select ",
        columns!(),
        " from bookings where account_id = $1 and id < $3 order by id desc limit $2"
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

/// Notes the steps that a booking took with this version.
pub(crate) async fn note(
    tx: &mut Tx,
    booking: &Booking,
    transitions: &[Transition],
) -> Result<(), db::Error> {
    if transitions.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = (0_i64..)
        .zip(transitions)
        .map(|(ordinal, step)| {
            vec![
                booking.id.into(),
                booking.version.into(),
                ordinal.into(),
                step.from.as_str().into(),
                step.to.as_str().into(),
                step.input.as_str().into(),
                step.reason.as_str().into(),
                step.at.into(),
            ]
        })
        .collect();
    tx.execute_many(
        "insert into booking_history \
         (booking_id, version, ordinal, from_status, to_status, input, reason, at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        &rows,
    )
    .await?;
    Ok(())
}

/// The steps that a booking took, oldest first.
pub(crate) async fn history(tx: &mut Tx, id: BookingId) -> Result<Vec<Transition>, db::Error> {
    let rows = tx
        .query(
            "select from_status, to_status, input, reason, at from booking_history \
             where booking_id = $1 order by version, ordinal",
            &[id.into()],
        )
        .await?;
    let read = |row: &db::Row| {
        Ok(Transition {
            from: stored::named("from_status", &row.get::<String>(0)?, Status::named)?,
            to: stored::named("to_status", &row.get::<String>(1)?, Status::named)?,
            input: stored::named("input", &row.get::<String>(2)?, Input::named)?,
            reason: row.get(3)?,
            at: row.get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Puts an undoing aside for an operator; a later failure replaces an earlier one's words.
pub(crate) async fn bury(tx: &mut Tx, letter: &DeadLetter) -> Result<(), db::Error> {
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
pub(crate) async fn unbury(tx: &mut Tx, id: BookingId, step: Step) -> Result<(), db::Error> {
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
