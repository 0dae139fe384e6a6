//! Tickets and their history.

use db::{Error, History, Row, Sql, Tx, Value};
use kernel::{AccountId, BookingId, Money, Place, TicketId, Timestamp};
use serde::Serialize;

use super::{claims, corrupt};
use crate::domain::ticket::{Ticket, TicketStatus};

/// All columns that a ticket is made of; its history is not.
macro_rules! columns {
    () => {
        "ticket_id, number, hold_id, booking_id, ordinal, event_id, account_id, section, seat, \
         category, wheelchair, price_minor, currency, status, code, issued_at, used_at, used_gate"
    };
}

/// The ticket of this id.
pub async fn find(tx: &mut Tx, ticket_id: TicketId) -> Result<Option<Ticket>, Error> {
    let sql = concat!("select ", columns!(), " from tickets where ticket_id = $1");
    tx.query_opt(sql, &[ticket_id.into()]).await?.as_ref().map(ticket).transpose()
}

/// All tickets of a booking, in order.
pub async fn of_booking(tx: &mut Tx, booking_id: BookingId) -> Result<Vec<Ticket>, Error> {
    let sql =
        concat!("select ", columns!(), " from tickets where booking_id = $1 order by ordinal");
    tx.query(sql, &[booking_id.into()]).await?.iter().map(ticket).collect()
}

/// All tickets of a booking, which nobody else can change until this transaction ends.
pub async fn lock_booking(tx: &mut Tx, booking_id: BookingId) -> Result<Vec<Ticket>, Error> {
    tx.query(LOCK_BOOKING, &[booking_id.into()]).await?.iter().map(ticket).collect()
}

const LOCK_BOOKING: Sql = Sql::split(
    concat!(
        "select ",
        columns!(),
        " from tickets where booking_id = $1 order by ordinal for update"
    ),
    concat!("select ", columns!(), " from tickets where booking_id = $1 order by ordinal"),
);

/// Which of these bookings have tickets.
pub async fn issued(tx: &mut Tx, bookings: &[BookingId]) -> Result<Vec<BookingId>, Error> {
    let rows = tx.query_all(ISSUED, bookings.iter().map(|id| vec![(*id).into()]).collect());
    rows.await?.iter().map(|row| row.get(0)).collect()
}

const ISSUED: Sql = Sql::split(
    "select w.booking_id
     from (select * from unnest($1::uuid[]) w (booking_id) limit $2) w
     where exists (select 1 from tickets t where t.booking_id = w.booking_id)",
    "select booking_id from tickets where booking_id = $1 limit 1",
);

/// An account's tickets, newest first, those made before `before`.
pub async fn of_account(
    tx: &mut Tx,
    account_id: AccountId,
    before: TicketId,
    limit: u32,
) -> Result<Vec<Ticket>, Error> {
    let sql = concat!(
        "select ",
        columns!(),
        " from tickets where account_id = $1 and ticket_id < $2 order by ticket_id desc limit $3"
    );
    let rows = tx.query(sql, &[account_id.into(), before.into(), limit.into()]).await?;
    rows.iter().map(ticket).collect()
}

/// A booking's tickets, newest first, those made before `before`.
pub async fn page_of_booking(
    tx: &mut Tx,
    booking_id: BookingId,
    before: TicketId,
    limit: u32,
) -> Result<Vec<Ticket>, Error> {
    // A booking has a hundred tickets at most, all found by one index.
    let sql = concat!(
        "select ",
        columns!(),
        " from tickets where booking_id = $1 and ticket_id < $2 order by ticket_id desc limit $3"
    );
    let rows = tx.query(sql, &[booking_id.into(), before.into(), limit.into()]).await?;
    rows.iter().map(ticket).collect()
}

/// A ticket that is issued.
#[derive(Debug)]
pub struct New<'a> {
    /// The ticket.
    pub ticket: &'a Ticket,
    /// The reference that people know its booking by.
    pub reference: &'a str,
    /// Who had it issued.
    pub actor: &'a str,
}

/// Writes new tickets.
pub async fn insert(tx: &mut Tx, tickets: &[New<'_>]) -> Result<u64, Error> {
    let row = |New { ticket, reference, actor }: &New<'_>| {
        Ok(vec![
            ticket.ticket_id.into(),
            ticket.number.as_str().into(),
            ticket.hold_id.into(),
            ticket.booking_id.into(),
            (*reference).into(),
            ticket.ordinal.into(),
            ticket.event_id.into(),
            ticket.account_id.into(),
            ticket.place.section.as_str().into(),
            ticket.place.seat.as_ref().map_or("", |seat| seat.as_str()).into(),
            ticket.place.category.as_str().into(),
            ticket.place.wheelchair.into(),
            ticket.price.minor.into(),
            ticket.price.currency.to_string().into(),
            ticket.code.as_str().into(),
            ticket.issued_at.into(),
            step(0, TicketStatus::Issued, (reference, actor), ticket.issued_at)?,
        ])
    };
    tx.execute_all(INSERT, tickets.iter().map(row).collect::<Result<_, Error>>()?).await
}

const INSERT: Sql = Sql::split(
    "insert into tickets (ticket_id, number, hold_id, booking_id, booking_reference, ordinal,
       event_id, account_id, section, seat, category, wheelchair, price_minor, currency, status,
       code, issued_at, history)
     select ticket_id, number, hold_id, booking_id, booking_reference, ordinal, event_id,
       account_id, section, nullif(seat, ''), category, wheelchair, price_minor, currency,
       'issued', code, issued_at, history
     from (select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[],
             $6::bigint[], $7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::text[],
             $12::boolean[], $13::bigint[], $14::text[], $15::text[], $16::timestamptz[],
             $17::text[])
             w (ticket_id, number, hold_id, booking_id, booking_reference, ordinal, event_id,
                account_id, section, seat, category, wheelchair, price_minor, currency, code,
                issued_at, history) limit $18) w",
    "insert into tickets (ticket_id, number, hold_id, booking_id, booking_reference, ordinal,
       event_id, account_id, section, seat, category, wheelchair, price_minor, currency, status,
       code, issued_at, history)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, ''), $11, $12, $13, $14, 'issued',
       $15, $16, $17)",
);

/// A step as a ticket's history has it.
#[derive(Serialize)]
struct Step<'a> {
    ordinal: u32,
    status: &'static str,
    reason: &'a str,
    actor: &'a str,
    at: i64,
}

/// A step for a ticket's history: what it became, why or where, by whom, and when.
fn step(
    ordinal: u32,
    status: TicketStatus,
    (reason, actor): (&str, &str),
    at: Timestamp,
) -> Result<Value, Error> {
    let step = Step { ordinal, status: status.as_str(), reason, actor, at: at.micros() };
    Ok(History::of([step])?.into())
}

/// `actor` lets a ticket in; `false` if it is not (any more) one that was only issued.
pub async fn mark_used(
    tx: &mut Tx,
    ticket_id: TicketId,
    (gate, actor): (&str, &str),
    at: Timestamp,
) -> Result<bool, Error> {
    let step = step(1, TicketStatus::Used, (gate, actor), at)?;
    let changed = tx
        .execute(
            "update tickets set status = 'used', used_at = $2, used_gate = $3,
               history = history || $4
             where ticket_id = $1 and status = 'issued'",
            &[ticket_id.into(), at.into(), gate.into(), step],
        )
        .await?;
    Ok(changed == 1)
}

/// `actor` takes back the tickets of a booking that were only issued; returns how many.
pub async fn cancel(
    tx: &mut Tx,
    booking_id: BookingId,
    (reason, actor): (&str, &str),
    at: Timestamp,
) -> Result<u64, Error> {
    let step = step(1, TicketStatus::Cancelled, (reason, actor), at)?;
    tx.execute(
        "update tickets set status = 'cancelled', history = history || $2
         where booking_id = $1 and status = 'issued'",
        &[booking_id.into(), step],
    )
    .await
}

fn ticket(row: &Row) -> Result<Ticket, Error> {
    let seat: Option<String> = row.get(8)?;
    let currency: String = row.get(12)?;
    let currency = currency.parse().map_err(|error| corrupt("tickets.currency", error))?;
    let status: String = row.get(13)?;
    let used_at: Option<Timestamp> = row.get(16)?;
    Ok(Ticket {
        ticket_id: row.get(0)?,
        number: row.get(1)?,
        hold_id: row.get(2)?,
        booking_id: row.get(3)?,
        ordinal: row.get(4)?,
        event_id: row.get(5)?,
        account_id: row.get(6)?,
        place: Place {
            section: row.get(7)?,
            seat: seat.as_deref().map(claims::seat).transpose()?,
            category: row.get(9)?,
            wheelchair: row.get(10)?,
        },
        price: Money::new(row.get(11)?, currency),
        status: TicketStatus::named(&status).ok_or_else(|| corrupt("tickets.status", status))?,
        code: row.get(14)?,
        issued_at: row.get(15)?,
        used: match used_at {
            Some(at) => Some((at, row.get::<Option<String>>(17)?.unwrap_or_default())),
            None => None,
        },
    })
}
