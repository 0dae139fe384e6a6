//! SQL of payments, and their history. One function is one promise.

mod log;
mod refunds;

use db::{Error, Row, Sql, Tx, Value};
use kernel::{AccountId, BookingId, Money, PaymentId, Secret, Timestamp};

use crate::domain::{Decline, Payment};

pub(crate) use log::{Entry, insert_entry, insert_event, prune_entries, prune_events};
pub(crate) use refunds::{
    insert_refund, put_off_refund, refund, refund_by_reference, reserve_refund, take_due_refunds,
    update_refund,
};

macro_rules! columns {
    () => {
        "payment_id, booking_id, booking_reference, account_id, amount_minor, currency,
        captured_minor, refunded_minor, pending_refund_minor, state, provider_reference,
        client_secret, decline_code, decline_reference, provider_event_s, correlation_id,
        attempts, created_at, updated_at, version"
    };
}

/// Writes a new payment; `false` if its booking has one already.
pub(crate) async fn insert(
    tx: &mut Tx,
    payment: &Payment,
    due_at: Timestamp,
) -> Result<bool, Error> {
    let sql = "insert into payments (payment_id, booking_id, booking_reference, account_id,
        amount_minor, currency, state, correlation_id, due_at, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
        on conflict (booking_id) do nothing";
    let params = [
        payment.id.into(),
        payment.booking.into(),
        (&payment.booking_reference).into(),
        payment.account.into(),
        payment.amount.minor.into(),
        payment.amount.currency.as_str().into(),
        payment.state.as_str().into(),
        (&payment.correlation_id).into(),
        due_at.into(),
        payment.created_at.into(),
    ];
    Ok(tx.execute(sql, &params).await? == 1)
}

pub(crate) async fn payment(tx: &mut Tx, id: PaymentId) -> Result<Option<Payment>, Error> {
    let sql = concat!("select ", columns!(), " from payments where payment_id = $1");
    tx.query_opt(sql, &[id.into()]).await?.as_ref().map(read).transpose()
}

pub(crate) async fn of_booking(tx: &mut Tx, booking: BookingId) -> Result<Option<Payment>, Error> {
    let sql = concat!("select ", columns!(), " from payments where booking_id = $1");
    tx.query_opt(sql, &[booking.into()]).await?.as_ref().map(read).transpose()
}

/// The payment, nobody else's to change until this transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: PaymentId) -> Result<Option<Payment>, Error> {
    let sql = Sql::split(
        concat!("select ", columns!(), " from payments where payment_id = $1 for update"),
        concat!("select ", columns!(), " from payments where payment_id = $1"),
    );
    tx.query_opt(sql, &[id.into()]).await?.as_ref().map(read).transpose()
}

/// As [`lock`], by the provider's id of the intent.
pub(crate) async fn lock_by_reference(
    tx: &mut Tx,
    reference: &str,
) -> Result<Option<Payment>, Error> {
    let sql = Sql::split(
        concat!("select ", columns!(), " from payments where provider_reference = $1 for update"),
        concat!("select ", columns!(), " from payments where provider_reference = $1"),
    );
    tx.query_opt(sql, &[reference.into()]).await?.as_ref().map(read).transpose()
}

/// Writes all that may change of a payment that was locked at version `read`, and when to look at
/// it next.
pub(crate) async fn update(
    tx: &mut Tx,
    payment: &Payment,
    read: i64,
    due_at: Option<Timestamp>,
) -> Result<(), Error> {
    let sql = "update payments set state = $3, captured_minor = $4, refunded_minor = $5,
        pending_refund_minor = $6, provider_reference = $7, client_secret = $8,
        decline_code = $9, decline_reference = $10, provider_event_s = $11, due_at = $12,
        attempts = 0, updated_at = $13, version = $14
        where payment_id = $1 and version = $2";
    let (code, reference) = match &payment.decline {
        Some(decline) => ((&decline.code).into(), (&decline.reference).into()),
        None => (Value::Null, Value::Null),
    };
    let params = [
        payment.id.into(),
        read.into(),
        payment.state.as_str().into(),
        payment.captured_minor.into(),
        payment.refunded_minor.into(),
        payment.pending_refund_minor.into(),
        payment.provider_reference.as_ref().into(),
        payment.client_secret.as_ref().map(Secret::expose).into(),
        code,
        reference,
        payment.provider_event_s.into(),
        due_at.into(),
        payment.updated_at.into(),
        payment.version.into(),
    ];
    match tx.execute(sql, &params).await? {
        1 => Ok(()),
        _ => Err(Error::Conflict),
    }
}

/// Notes in the payment's history how it came to its version.
pub(crate) async fn insert_transition(
    tx: &mut Tx,
    payment: &Payment,
    from: &str,
    cause: &str,
) -> Result<(), Error> {
    let sql = "insert into payment_transitions
        (payment_id, number, from_state, to_state, cause, at)
        values ($1, $2, $3, $4, $5, $6)";
    let params = [
        payment.id.into(),
        payment.version.into(),
        from.into(),
        payment.state.as_str().into(),
        cause.into(),
        payment.updated_at.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

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
