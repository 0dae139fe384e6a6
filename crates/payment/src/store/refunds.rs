//! SQL of refunds.

use db::{Error, Row, Sql, Tx};
use kernel::{PaymentId, RefundId, Timestamp};

use super::corrupt;
use crate::domain::Refund;

macro_rules! columns {
    () => {
        "refund_id, payment_id, amount_minor, state, reason, provider_reference,
        idempotency_key, attempts, created_at, updated_at"
    };
}

/// Sets `amount_minor` of the captured money aside for a refund; `false` if that much is not left.
/// Two refunds at once never get the same money: the second finds what the first has left.
pub(crate) async fn reserve_refund(
    tx: &mut Tx,
    payment: PaymentId,
    amount_minor: i64,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "update payments
        set pending_refund_minor = pending_refund_minor + $2, updated_at = $3
        where payment_id = $1
        and captured_minor - refunded_minor - pending_refund_minor >= $2";
    let params = [payment.into(), amount_minor.into(), now.into()];
    Ok(tx.execute(sql, &params).await? == 1)
}

pub(crate) async fn insert_refund(
    tx: &mut Tx,
    refund: &Refund,
    due_at: Option<Timestamp>,
) -> Result<(), Error> {
    let sql = "insert into refunds (refund_id, payment_id, amount_minor, state, reason,
        provider_reference, idempotency_key, due_at, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    let params = [
        refund.id.into(),
        refund.payment.into(),
        refund.amount_minor.into(),
        refund.state.as_str().into(),
        (&refund.reason).into(),
        refund.provider_reference.as_ref().into(),
        refund.idempotency_key.as_ref().into(),
        due_at.into(),
        refund.created_at.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

/// A refund. It changes only under the lock of its payment.
pub(crate) async fn refund(tx: &mut Tx, id: RefundId) -> Result<Option<Refund>, Error> {
    let sql = concat!("select ", columns!(), " from refunds where refund_id = $1");
    tx.query_opt(sql, &[id.into()]).await?.as_ref().map(read).transpose()
}

pub(crate) async fn refund_by_reference(
    tx: &mut Tx,
    reference: &str,
) -> Result<Option<Refund>, Error> {
    let sql = concat!("select ", columns!(), " from refunds where provider_reference = $1");
    tx.query_opt(sql, &[reference.into()]).await?.as_ref().map(read).transpose()
}

/// Writes all that may change of a refund, and when to look at it next.
pub(crate) async fn update_refund(
    tx: &mut Tx,
    refund: &Refund,
    due_at: Option<Timestamp>,
) -> Result<(), Error> {
    let sql = "update refunds set state = $2, provider_reference = $3, due_at = $4,
        updated_at = $5 where refund_id = $1";
    let params = [
        refund.id.into(),
        refund.state.as_str().into(),
        refund.provider_reference.as_ref().into(),
        due_at.into(),
        refund.updated_at.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}

/// Takes refunds that are due, for nobody else to take before `lease_until`.
pub(crate) async fn take_due_refunds(
    tx: &mut Tx,
    now: Timestamp,
    lease_until: Timestamp,
    limit: i64,
) -> Result<Vec<Refund>, Error> {
    let sql = Sql::split(
        concat!(
            "update refunds set due_at = $2, attempts = attempts + 1 where refund_id in (
            select refund_id from refunds where due_at <= $1
            order by due_at limit $3 for update skip locked) returning ",
            columns!()
        ),
        concat!(
            "update refunds set due_at = $2, attempts = attempts + 1 where refund_id in (
            select refund_id from refunds where due_at <= $1
            order by due_at limit $3) returning ",
            columns!()
        ),
    );
    let params = [now.into(), lease_until.into(), limit.into()];
    tx.query(sql, &params).await?.iter().map(read).collect()
}

/// Has the refund looked at again at `due_at`, if it is still pending.
pub(crate) async fn put_off_refund(
    tx: &mut Tx,
    id: RefundId,
    due_at: Timestamp,
) -> Result<(), Error> {
    let sql = "update refunds set due_at = $2 where refund_id = $1 and due_at is not null";
    tx.execute(sql, &[id.into(), due_at.into()]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Refund, Error> {
    let state: String = row.get(3)?;
    Ok(Refund {
        id: row.get(0)?,
        payment: row.get(1)?,
        amount_minor: row.get(2)?,
        state: state.parse().map_err(|()| corrupt("refunds.state", &state))?,
        reason: row.get(4)?,
        provider_reference: row.get(5)?,
        idempotency_key: row.get(6)?,
        attempts: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}
