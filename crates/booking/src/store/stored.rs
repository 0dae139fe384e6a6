//! Bookings as columns: the shapes of their JSON columns, and the order of the others.

use std::{borrow::Cow, sync::Arc};

use db::{Error, Json, Row, Value};
use kernel::{
    AccountId, Choice, Code, Currency, Failure, FieldError, Money, Place, Secret, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::keys::Answer;
use crate::domain::{
    Booking, Cursor, Line, Offer, PaymentStatus, RefusedWish, State, Status, Terms, Undo,
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredChoice<'a> {
    Seats(Vec<Cow<'a, str>>),
    BestAvailable {
        quantity: u32,
        section: Option<Cow<'a, str>>,
        category: Option<Cow<'a, str>>,
        wheelchair: u32,
    },
    Admissions {
        section: Cow<'a, str>,
        quantity: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredPlace<'a> {
    section: Cow<'a, str>,
    seat: Option<Cow<'a, str>>,
    category: Cow<'a, str>,
    wheelchair: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredLine<'a> {
    category: Cow<'a, str>,
    category_name: Cow<'a, str>,
    quantity: u32,
    unit_price_minor: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredTerms<'a> {
    event_name: Cow<'a, str>,
    organization_id: Option<String>,
    venue_name: Cow<'a, str>,
    time_zone: Cow<'a, str>,
    starts_at_us: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredFailure {
    code: String,
    reason: String,
    detail: String,
    fields: Vec<(String, String)>,
    metadata: std::collections::BTreeMap<String, String>,
}

const CODES: [(Code, &str); 10] = [
    (Code::Invalid, "invalid"),
    (Code::Unauthenticated, "unauthenticated"),
    (Code::Forbidden, "forbidden"),
    (Code::NotFound, "not_found"),
    (Code::Conflict, "conflict"),
    (Code::Stale, "stale"),
    (Code::Exhausted, "exhausted"),
    (Code::Unavailable, "unavailable"),
    (Code::Deadline, "deadline"),
    (Code::Internal, "internal"),
];

/// What is written of a new booking. Somebody has to go on with it, if need be at once.
pub(super) fn opening(booking: &Booking) -> Vec<Value> {
    vec![
        booking.id.into(),
        booking.reference.as_str().into(),
        booking.account_id.into(),
        booking.key.as_str().into(),
        booking.event_id.into(),
        json(&stored_choice(&booking.choice)),
        booking.admitted.into(),
        booking.state.status.as_str().into(),
        booking.state.payment.as_str().into(),
        booking.expires_at.into(),
        booking.created_at.into(),
        booking.cursor.due_at.unwrap_or(booking.created_at).into(),
        booking.cursor.leased.into(),
        booking.cursor.lease.into(),
        booking.version.into(),
    ]
}

/// The event, the wish, the refusal and its moment; nothing of a booking.
pub(super) fn refused(wish: Option<&RefusedWish>) -> [Value; 4] {
    let Some(wish) = wish else { return [const { Value::Null }; 4] };
    let (choice, refusal) = (stored_choice(&wish.choice), stored_failure(&wish.refusal));
    [wish.event_id.into(), json(&choice), json(&refusal), wish.at.into()]
}

/// A row of account, key, id and [`refused`].
pub(super) fn answer(row: &Row) -> Result<((AccountId, String), Answer), Error> {
    let (account_id, key, id) = (row.get(0)?, row.get::<String>(1)?, row.get(2)?);
    let answer = match row.get::<Option<Json<_>>>(5)? {
        None => Answer::Booking(id),
        Some(Json(refusal)) => Answer::Refusal(Box::new(RefusedWish {
            id,
            account_id,
            key: key.clone(),
            event_id: row.get(3)?,
            choice: choice(row.get::<Json<_>>(4)?.0)?,
            refusal: failure(refusal)?,
            at: row.get(6)?,
        })),
    };
    Ok(((account_id, key), answer))
}

/// The parameters of an update: the id, then what may change. The offer never does once it is made:
/// it is left out of all updates but the one that `makes_offer`.
pub(super) fn changes(booking: &Booking, makes_offer: bool) -> Vec<Value> {
    let offer = booking.offer.as_ref().filter(|_| makes_offer);
    let cursor = &booking.cursor;
    vec![
        booking.id.into(),
        booking.state.status.as_str().into(),
        booking.state.payment.as_str().into(),
        offer.map_or(Value::Null, |offer| json(&stored_terms(&offer.terms))),
        offer.map_or(Value::Null, |offer| list(offer.places.iter().map(stored_place))),
        offer.map_or(Value::Null, |offer| list(offer.lines.iter().map(stored_line))),
        offer.map(|offer| offer.total.minor).into(),
        offer.map(|offer| offer.total.currency.to_string()).into(),
        booking.payment_id.into(),
        booking.client_secret.as_ref().map(|secret| secret.expose().as_str()).into(),
        booking.reason.as_str().into(),
        refusal(booking),
        booking.expires_at.into(),
        booking.confirmed_at.into(),
        booking.cancelled_at.into(),
        cursor.due_at.into(),
        cursor.leased.into(),
        cursor.lease.into(),
        cursor.attempts.into(),
        cursor.undo.to_text().into(),
        cursor.cancelling.into(),
        cursor.refunds_failed.into(),
        booking.version.into(),
    ]
}

fn refusal(booking: &Booking) -> Value {
    booking.refusal.as_ref().map_or(Value::Null, |refusal| json(&stored_failure(refusal)))
}

/// Reads a row of `columns!`.
pub(super) fn booking(row: &Row) -> Result<Booking, Error> {
    Ok(Booking {
        id: row.get(0)?,
        reference: row.get(1)?,
        account_id: row.get(2)?,
        key: row.get(3)?,
        event_id: row.get(4)?,
        choice: choice(row.get::<Json<_>>(5)?.0)?,
        admitted: row.get(6)?,
        state: State {
            status: named("status", &row.get::<String>(7)?, Status::named)?,
            payment: named("payment_status", &row.get::<String>(8)?, PaymentStatus::named)?,
        },
        offer: offer(row)?,
        payment_id: row.get(14)?,
        client_secret: row.get::<Option<String>>(15)?.map(Secret::new),
        reason: row.get(16)?,
        refusal: match row.get::<Option<Json<_>>>(17)? {
            Some(Json(refusal)) => Some(failure(refusal)?),
            None => None,
        },
        expires_at: row.get(18)?,
        created_at: row.get(19)?,
        confirmed_at: row.get(20)?,
        cancelled_at: row.get(21)?,
        cursor: Cursor {
            due_at: row.get(22)?,
            leased: row.get(23)?,
            lease: row.get(24)?,
            attempts: row.get(25)?,
            undo: named("undo", &row.get::<String>(26)?, Undo::from_text)?,
            cancelling: row.get(27)?,
            refunds_failed: row.get(28)?,
        },
        version: row.get(29)?,
    })
}

/// A value stored by its name.
pub(super) fn named<T>(
    column: &str,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, Error> {
    read(name).ok_or_else(|| corrupt(column, &name))
}

fn offer(row: &Row) -> Result<Option<Arc<Offer>>, Error> {
    let Some(minor) = row.get::<Option<i64>>(12)? else { return Ok(None) };
    let Json(terms) = row.get::<Json<StoredTerms<'_>>>(9)?;
    let Json(places) = row.get::<Json<Vec<StoredPlace<'_>>>>(10)?;
    let Json(lines) = row.get::<Json<Vec<StoredLine<'_>>>>(11)?;
    let currency: String = row.get(13)?;
    let currency: Currency = currency.parse().map_err(|error| corrupt("currency", &error))?;
    let organization_id = terms.organization_id.map(|id| id.parse()).transpose();
    Ok(Some(Arc::new(Offer {
        terms: Terms {
            event_name: terms.event_name.into_owned(),
            organization_id: organization_id.map_err(|error| corrupt("terms", &error))?,
            venue_name: terms.venue_name.into_owned(),
            time_zone: terms.time_zone.into_owned(),
            starts_at: Timestamp::from_micros(terms.starts_at_us),
        },
        places: places.into_iter().map(place).collect::<Result<_, _>>()?,
        lines: lines
            .into_iter()
            .map(|line| Line {
                category: line.category.into_owned(),
                category_name: line.category_name.into_owned(),
                quantity: line.quantity,
                unit_price_minor: line.unit_price_minor,
            })
            .collect(),
        total: Money::new(minor, currency),
    })))
}

fn choice(stored: StoredChoice<'_>) -> Result<Choice, Error> {
    Ok(match stored {
        StoredChoice::Seats(seats) => {
            let seats = seats.iter().map(|seat| seat.parse());
            Choice::Seats(seats.collect::<Result<_, _>>().map_err(|e| corrupt("choice", &e))?)
        }
        StoredChoice::BestAvailable { quantity, section, category, wheelchair } => {
            Choice::BestAvailable {
                quantity,
                section: section.map(Cow::into_owned),
                category: category.map(Cow::into_owned),
                wheelchair,
            }
        }
        StoredChoice::Admissions { section, quantity } => {
            Choice::Admissions { section: section.into_owned(), quantity }
        }
    })
}

fn place(stored: StoredPlace<'_>) -> Result<Place, Error> {
    let seat = stored.seat.map(|seat| seat.parse()).transpose();
    Ok(Place {
        section: stored.section.into_owned(),
        seat: seat.map_err(|error| corrupt("places", &error))?,
        category: stored.category.into_owned(),
        wheelchair: stored.wheelchair,
    })
}

fn failure(stored: StoredFailure) -> Result<Failure, Error> {
    let code = CODES.iter().find(|(_, name)| *name == stored.code).map(|(code, _)| *code);
    let fields = stored.fields.into_iter().map(|(field, detail)| FieldError { field, detail });
    Ok(Failure {
        code: code.ok_or_else(|| corrupt("refusal", &stored.code))?,
        reason: stored.reason.into(),
        detail: stored.detail,
        fields: fields.collect(),
        metadata: stored.metadata,
        retry_after_ms: None,
    })
}

fn stored_choice(choice: &Choice) -> StoredChoice<'_> {
    match choice {
        Choice::Seats(seats) => {
            StoredChoice::Seats(seats.iter().map(|seat| seat.as_str().into()).collect())
        }
        Choice::BestAvailable { quantity, section, category, wheelchair } => {
            StoredChoice::BestAvailable {
                quantity: *quantity,
                section: section.as_deref().map(Cow::Borrowed),
                category: category.as_deref().map(Cow::Borrowed),
                wheelchair: *wheelchair,
            }
        }
        Choice::Admissions { section, quantity } => {
            StoredChoice::Admissions { section: section.into(), quantity: *quantity }
        }
    }
}

fn stored_terms(terms: &Terms) -> StoredTerms<'_> {
    StoredTerms {
        event_name: (&terms.event_name).into(),
        organization_id: terms.organization_id.map(|id| id.to_string()),
        venue_name: (&terms.venue_name).into(),
        time_zone: (&terms.time_zone).into(),
        starts_at_us: terms.starts_at.micros(),
    }
}

fn stored_place(place: &Place) -> StoredPlace<'_> {
    StoredPlace {
        section: (&place.section).into(),
        seat: place.seat.as_ref().map(|seat| seat.as_str().into()),
        category: (&place.category).into(),
        wheelchair: place.wheelchair,
    }
}

fn stored_line(line: &Line) -> StoredLine<'_> {
    StoredLine {
        category: (&line.category).into(),
        category_name: (&line.category_name).into(),
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    }
}

fn stored_failure(failure: &Failure) -> StoredFailure {
    let code = CODES.iter().find(|(code, _)| *code == failure.code);
    StoredFailure {
        code: code.map_or("internal", |(_, name)| name).to_owned(),
        reason: failure.reason.to_string(),
        detail: failure.detail.clone(),
        fields: failure.fields.iter().map(|f| (f.field.clone(), f.detail.clone())).collect(),
        metadata: failure.metadata.clone(),
    }
}

fn list<T: Serialize>(items: impl Iterator<Item = T>) -> Value {
    json(&items.collect::<Vec<_>>())
}

fn json<T: Serialize>(value: &T) -> Value {
    // These shapes have string keys only and always have a JSON form.
    Value::Json(serde_json::to_string(value).unwrap_or_default())
}

fn corrupt(column: &str, detail: &impl ToString) -> Error {
    Error::Corrupt { column: column.to_owned(), detail: detail.to_string() }
}
