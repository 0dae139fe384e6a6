//! SQL of payments, and their history. One function is one promise; statements over many rows are
//! of the form that `db::Tx::execute_all` explains.

mod log;
mod refunds;

use std::collections::{HashMap, HashSet};

use db::{Error, History, Row, Sql, Tx, Value};
use kernel::{AccountId, BookingId, Money, PaymentId, Secret, Timestamp};
use serde::Serialize;

use crate::domain::{Decline, Payment, State};

pub(crate) use log::{Entry, Noted, insert_entries, insert_events, prune_entries, prune_events};
pub(crate) use refunds::{
    insert_refund, put_off_refund, refund, refund_by_reference, reserve_refund, take_due_refunds,
    update_refund,
};

/// All columns that a payment is made of; its history is not.
macro_rules! columns {
    () => {
        "payment_id, booking_id, booking_reference, account_id, amount_minor, currency,
        captured_minor, refunded_minor, pending_refund_minor, state, provider_reference,
        client_secret, decline_code, decline_reference, provider_event_s, correlation_id,
        attempts, created_at, updated_at, version"
    };
}

/// A payment's new version.
pub(crate) struct Revision {
    pub(crate) payment: Payment,
    /// The version that was locked.
    pub(crate) read: i64,
    /// When to look at it next; never, once nothing is left to do.
    pub(crate) due: Option<Timestamp>,
    /// How it came to this version.
    pub(crate) steps: Vec<Transition>,
}

/// How a payment came to a version, as its history has it: 0 is its making.
#[derive(Serialize)]
pub(crate) struct Transition {
    number: i64,
    from: &'static str,
    to: &'static str,
    cause: String,
    at: i64,
}

impl Transition {
    /// Of a payment that has become what it is from another state.
    pub(crate) fn new(payment: &Payment, from: State, cause: &str, at: Timestamp) -> Self {
        let (from, to) = (from.as_str(), payment.state.as_str());
        Self { number: payment.version, from, to, cause: cause.to_owned(), at: at.micros() }
    }

    /// Of a payment that there was not before.
    fn making(payment: &Payment, cause: &str) -> Self {
        Self { from: "", ..Self::new(payment, payment.state, cause, payment.created_at) }
    }
}

/// Writes new payments, to be looked at when they are `due`, and returns which were written; the
/// others' bookings have one already. `payments` are sorted by booking.
pub(crate) async fn insert(
    tx: &mut Tx,
    payments: &[Payment],
    cause: &str,
    due: impl Fn(&Payment) -> Timestamp,
) -> Result<HashSet<PaymentId>, Error> {
    let row = |payment: &Payment| {
        Ok(vec![
            payment.id.into(),
            payment.booking.into(),
            (&payment.booking_reference).into(),
            payment.account.into(),
            payment.amount.minor.into(),
            payment.amount.currency.as_str().into(),
            payment.state.as_str().into(),
            text(payment.provider_reference.as_ref()),
            text(payment.client_secret.as_ref().map(Secret::expose)),
            (&payment.correlation_id).into(),
            due(payment).into(),
            payment.created_at.into(),
            History::of([Transition::making(payment, cause)])?.into(),
        ])
    };
    let rows = payments.iter().map(row).collect::<Result<_, Error>>()?;
    let rows = tx.effects(INSERT, 1, rows).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// A reference or secret that is empty stands for none.
const INSERT: Sql = Sql::split(
    "insert into payments (payment_id, booking_id, booking_reference, account_id, amount_minor,
       currency, state, provider_reference, client_secret, correlation_id, due_at, created_at,
       updated_at, history)
     select payment_id, booking_id, booking_reference, account_id, amount_minor, currency, state,
       nullif(provider_reference, ''), nullif(client_secret, ''), correlation_id, due_at,
       created_at, created_at, history
     from (select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[],
             $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[],
             $12::timestamptz[], $13::text[])
             w (payment_id, booking_id, booking_reference, account_id, amount_minor, currency,
                state, provider_reference, client_secret, correlation_id, due_at, created_at,
                history)
           limit $14) w
     on conflict do nothing
     returning payment_id",
    "insert into payments (payment_id, booking_id, booking_reference, account_id, amount_minor,
       currency, state, provider_reference, client_secret, correlation_id, due_at, created_at,
       updated_at, history)
     values ($1, $2, $3, $4, $5, $6, $7, nullif($8, ''), nullif($9, ''), $10, $11, $12, $12, $13)
     on conflict do nothing",
);

/// An optional text as a value, empty for none.
fn text(text: Option<&String>) -> Value {
    text.map_or("", String::as_str).into()
}

/// Payments by their ids.
pub(crate) async fn payments(
    tx: &mut Tx,
    ids: impl Iterator<Item = PaymentId>,
) -> Result<Vec<Payment>, Error> {
    let rows = tx.query_all(FIND, ids.map(|id| vec![id.into()]).collect()).await?;
    rows.iter().map(read).collect()
}

const FIND: Sql = Sql::split(
    concat!(
        "select ",
        columns!(),
        " from (select * from unnest($1::uuid[]) w (wanted) limit $2) w
        join payments on payment_id = wanted"
    ),
    concat!("select ", columns!(), " from payments where payment_id = $1"),
);

/// The payments of bookings.
pub(crate) async fn of_bookings(
    tx: &mut Tx,
    bookings: impl Iterator<Item = BookingId>,
) -> Result<Vec<Payment>, Error> {
    let rows = tx.query_all(OF_BOOKINGS, bookings.map(|id| vec![id.into()]).collect()).await?;
    rows.iter().map(read).collect()
}

const OF_BOOKINGS: Sql = Sql::split(
    concat!(
        "select ",
        columns!(),
        " from (select * from unnest($1::uuid[]) w (wanted) limit $2) w
        join payments on booking_id = wanted"
    ),
    concat!("select ", columns!(), " from payments where booking_id = $1"),
);

/// Whose the provider's intents are.
pub(crate) async fn by_references(
    tx: &mut Tx,
    references: impl Iterator<Item = &str>,
) -> Result<HashMap<String, PaymentId>, Error> {
    let rows = references.map(|reference| vec![reference.into()]);
    let rows = tx.query_all(BY_REFERENCES, rows.collect()).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

const BY_REFERENCES: Sql = Sql::split(
    "select provider_reference, payment_id
     from (select * from unnest($1::text[]) w (wanted) limit $2) w
     join payments on provider_reference = wanted",
    "select provider_reference, payment_id from payments where provider_reference = $1",
);

/// Payments by their ids, nobody else's to change until this transaction ends.
pub(crate) async fn lock(tx: &mut Tx, mut ids: Vec<PaymentId>) -> Result<Vec<Payment>, Error> {
    ids.sort_unstable();
    ids.dedup();
    let rows = tx.query_all(LOCK, ids.into_iter().map(|id| vec![id.into()]).collect()).await?;
    rows.iter().map(read).collect()
}

const LOCK: Sql = Sql::split(
    concat!(
        "select ",
        columns!(),
        " from (select * from unnest($1::uuid[]) w (wanted) limit $2) w
        join payments on payment_id = wanted
        order by payment_id for update of payments"
    ),
    FIND.sqlite,
);

/// Writes all that may change of payments that were locked, and how they came to it.
pub(crate) async fn update(tx: &mut Tx, revisions: &[Revision]) -> Result<(), Error> {
    let row = |Revision { payment, read, due, steps }: &Revision| {
        let decline = payment.decline.as_ref();
        Ok(vec![
            payment.id.into(),
            (*read).into(),
            payment.state.as_str().into(),
            payment.captured_minor.into(),
            payment.refunded_minor.into(),
            payment.pending_refund_minor.into(),
            text(payment.provider_reference.as_ref()),
            text(payment.client_secret.as_ref().map(Secret::expose)),
            decline.is_some().into(),
            text(decline.map(|decline| &decline.code)),
            text(decline.map(|decline| &decline.reference)),
            payment.provider_event_s.into(),
            due.unwrap_or(Timestamp::EPOCH).into(),
            payment.attempts.into(),
            payment.updated_at.into(),
            payment.version.into(),
            History::of(steps)?.into(),
        ])
    };
    let rows = revisions.iter().map(row).collect::<Result<_, Error>>()?;
    let changed = tx.execute_all(UPDATE, rows).await?;
    if changed == revisions.len() as u64 { Ok(()) } else { Err(Error::Conflict) }
}

/// A reference or secret that is empty, and a time at the epoch, stand for none.
const UPDATE: Sql = Sql::split(
    "update payments p set state = w.state, captured_minor = w.captured_minor,
       refunded_minor = w.refunded_minor, pending_refund_minor = w.pending_refund_minor,
       provider_reference = nullif(w.provider_reference, ''),
       client_secret = nullif(w.client_secret, ''),
       decline_code = case when w.declined then w.decline_code end,
       decline_reference = case when w.declined then w.decline_reference end,
       provider_event_s = w.provider_event_s, due_at = nullif(w.due_at, to_timestamp(0)),
       attempts = w.attempts, updated_at = w.updated_at, version = w.version,
       history = p.history || w.history
     from (select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[],
             $6::bigint[], $7::text[], $8::text[], $9::boolean[], $10::text[], $11::text[],
             $12::bigint[], $13::timestamptz[], $14::bigint[], $15::timestamptz[], $16::bigint[],
             $17::text[])
             w (payment_id, read, state, captured_minor, refunded_minor, pending_refund_minor,
                provider_reference, client_secret, declined, decline_code, decline_reference,
                provider_event_s, due_at, attempts, updated_at, version, history) limit $18) w
     where p.payment_id = w.payment_id and p.version = w.read",
    "update payments set state = $3, captured_minor = $4, refunded_minor = $5,
       pending_refund_minor = $6, provider_reference = nullif($7, ''),
       client_secret = nullif($8, ''), decline_code = case when $9 then $10 end,
       decline_reference = case when $9 then $11 end, provider_event_s = $12,
       due_at = nullif($13, 0), attempts = $14, updated_at = $15, version = $16,
       history = history || $17
     where payment_id = $1 and version = $2",
);

/// Payments of an account made before `before`, newest first.
pub(crate) async fn list(
    tx: &mut Tx,
    account: AccountId,
    before: PaymentId,
    limit: i64,
) -> Result<Vec<Payment>, Error> {
    let sql = concat!(
        "select ",
        columns!(),
        " from payments where account_id = $1 and payment_id < $2
        order by payment_id desc limit $3"
    );
    let params = [account.into(), before.into(), limit.into()];
    tx.query(sql, &params).await?.iter().map(read).collect()
}

/// Takes payments that are due, for nobody else to take before `lease_until`.
pub(crate) async fn take_due(
    tx: &mut Tx,
    now: Timestamp,
    lease_until: Timestamp,
    limit: i64,
) -> Result<Vec<Payment>, Error> {
    let sql = Sql::split(
        concat!(
            "update payments set due_at = $2, attempts = attempts + 1 where payment_id in (
            select payment_id from payments where due_at <= $1
            order by due_at limit $3 for update skip locked) returning ",
            columns!()
        ),
        concat!(
            "update payments set due_at = $2, attempts = attempts + 1 where payment_id in (
            select payment_id from payments where due_at <= $1
            order by due_at limit $3) returning ",
            columns!()
        ),
    );
    let params = [now.into(), lease_until.into(), limit.into()];
    tx.query(sql, &params).await?.iter().map(read).collect()
}

/// Has the payment looked at again at `due_at`, if it is still open.
pub(crate) async fn put_off(tx: &mut Tx, id: PaymentId, due_at: Timestamp) -> Result<(), Error> {
    let sql = "update payments set due_at = $2 where payment_id = $1 and due_at is not null";
    tx.execute(sql, &[id.into(), due_at.into()]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Payment, Error> {
    let state: String = row.get(9)?;
    let currency: String = row.get(5)?;
    let decline = match (row.get(12)?, row.get(13)?) {
        (Some(code), Some(reference)) => Some(Decline { code, reference }),
        _ => None,
    };
    Ok(Payment {
        id: row.get(0)?,
        booking: row.get(1)?,
        booking_reference: row.get(2)?,
        account: row.get(3)?,
        amount: Money::new(
            row.get(4)?,
            currency.parse().map_err(|error| corrupt("currency", &error))?,
        ),
        captured_minor: row.get(6)?,
        refunded_minor: row.get(7)?,
        pending_refund_minor: row.get(8)?,
        state: state.parse().map_err(|()| corrupt("payments.state", &state))?,
        provider_reference: row.get(10)?,
        client_secret: row.get::<Option<String>>(11)?.map(Secret::new),
        decline,
        provider_event_s: row.get(14)?,
        correlation_id: row.get(15)?,
        attempts: row.get(16)?,
        created_at: row.get(17)?,
        updated_at: row.get(18)?,
        version: row.get(19)?,
    })
}

fn corrupt(column: &str, found: &dyn std::fmt::Display) -> Error {
    Error::Corrupt { column: column.to_owned(), detail: found.to_string() }
}
