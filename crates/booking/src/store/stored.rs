//! Bookings as columns: the shapes of their JSON columns, and the order of the others.

use db::{Error, Row, Value};
use kernel::{Choice, Code, Currency, Failure, FieldError, Money, Place, Secret, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::domain::{Booking, Cursor, Line, Offer, PaymentStatus, State, Status, Terms, Undo};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredChoice {
    Seats(Vec<String>),
    BestAvailable {
        quantity: u32,
        section: Option<String>,
        category: Option<String>,
        wheelchair: u32,
    },
    Admissions {
        section: String,
        quantity: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredPlace {
    section: String,
    seat: Option<String>,
    category: String,
    wheelchair: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredLine {
    category: String,
    category_name: String,
    quantity: u32,
    unit_price_minor: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredTerms {
    event_name: String,
    organization_id: Option<String>,
    venue_name: String,
    time_zone: String,
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

/// The parameters of an update: the id, then what may change.
pub(super) fn changes(booking: &Booking) -> Vec<Value> {
    let mut values = vec![booking.id.into()];
    values.append(&mut changing(booking));
    values
}

fn changing(booking: &Booking) -> Vec<Value> {
    let offer = booking.offer.as_ref();
    let cursor = &booking.cursor;
    vec![
        booking.state.status.as_str().into(),
        booking.state.payment.as_str().into(),
        offer.map_or(Value::Null, |offer| json(&stored_terms(&offer.terms))),
        offer.map_or(Value::Null, |offer| json(&stored_places(&offer.places))),
        offer.map_or(Value::Null, |offer| json(&stored_lines(&offer.lines))),
        offer.map(|offer| offer.total.minor).into(),
        offer.map(|offer| offer.total.currency.to_string()).into(),
        booking.payment_id.into(),
        booking.client_secret.as_ref().map(|secret| secret.expose().as_str()).into(),
        booking.reason.as_str().into(),
        booking.refusal.as_ref().map_or(Value::Null, |refusal| json(&stored_failure(refusal))),
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

/// Reads a row of `columns!`.
pub(super) fn booking(row: &Row) -> Result<Booking, Error> {
    Ok(Booking {
        id: row.get(0)?,
        reference: row.get(1)?,
        account_id: row.get(2)?,
        key: row.get(3)?,
        event_id: row.get(4)?,
        choice: choice(parsed("choice", row.get(5)?)?)?,
        admitted: row.get(6)?,
        state: State {
            status: named("status", &row.get::<String>(7)?, Status::named)?,
            payment: named("payment_status", &row.get::<String>(8)?, PaymentStatus::named)?,
        },
        offer: offer(row)?,
        payment_id: row.get(14)?,
        client_secret: row.get::<Option<String>>(15)?.map(Secret::new),
        reason: row.get(16)?,
        refusal: match row.get::<Option<serde_json::Value>>(17)? {
            Some(refusal) => Some(failure(parsed("refusal", refusal)?)?),
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

fn offer(row: &Row) -> Result<Option<Offer>, Error> {
    let Some(minor) = row.get::<Option<i64>>(12)? else { return Ok(None) };
    let terms: StoredTerms = parsed("terms", row.get(9)?)?;
    let places: Vec<StoredPlace> = parsed("places", row.get(10)?)?;
    let lines: Vec<StoredLine> = parsed("lines", row.get(11)?)?;
    let currency: String = row.get(13)?;
    let currency: Currency = currency.parse().map_err(|error| corrupt("currency", &error))?;
    let organization_id = terms.organization_id.map(|id| id.parse()).transpose();
    Ok(Some(Offer {
        terms: Terms {
            event_name: terms.event_name,
            organization_id: organization_id.map_err(|error| corrupt("terms", &error))?,
            venue_name: terms.venue_name,
            time_zone: terms.time_zone,
            starts_at: Timestamp::from_micros(terms.starts_at_us),
        },
        places: places.into_iter().map(place).collect::<Result<_, _>>()?,
        lines: lines
            .into_iter()
            .map(|line| Line {
                category: line.category,
                category_name: line.category_name,
                quantity: line.quantity,
                unit_price_minor: line.unit_price_minor,
            })
            .collect(),
        total: Money::new(minor, currency),
    }))
}

fn choice(stored: StoredChoice) -> Result<Choice, Error> {
    Ok(match stored {
        StoredChoice::Seats(seats) => {
            let seats = seats.iter().map(|seat| seat.parse());
            Choice::Seats(seats.collect::<Result<_, _>>().map_err(|e| corrupt("choice", &e))?)
        }
        StoredChoice::BestAvailable { quantity, section, category, wheelchair } => {
            Choice::BestAvailable { quantity, section, category, wheelchair }
        }
        StoredChoice::Admissions { section, quantity } => Choice::Admissions { section, quantity },
    })
}

fn place(stored: StoredPlace) -> Result<Place, Error> {
    let seat = stored.seat.map(|seat| seat.parse()).transpose();
    Ok(Place {
        section: stored.section,
        seat: seat.map_err(|error| corrupt("places", &error))?,
        category: stored.category,
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

fn stored_choice(choice: &Choice) -> StoredChoice {
    match choice {
        Choice::Seats(seats) => {
            StoredChoice::Seats(seats.iter().map(ToString::to_string).collect())
        }
        Choice::BestAvailable { quantity, section, category, wheelchair } => {
            StoredChoice::BestAvailable {
                quantity: *quantity,
                section: section.clone(),
                category: category.clone(),
                wheelchair: *wheelchair,
            }
        }
        Choice::Admissions { section, quantity } => {
            StoredChoice::Admissions { section: section.clone(), quantity: *quantity }
        }
    }
}

fn stored_terms(terms: &Terms) -> StoredTerms {
    StoredTerms {
        event_name: terms.event_name.clone(),
        organization_id: terms.organization_id.map(|id| id.to_string()),
        venue_name: terms.venue_name.clone(),
        time_zone: terms.time_zone.clone(),
        starts_at_us: terms.starts_at.micros(),
    }
}

fn stored_places(places: &[Place]) -> Vec<StoredPlace> {
    let stored = |place: &Place| StoredPlace {
        section: place.section.clone(),
        seat: place.seat.as_ref().map(ToString::to_string),
        category: place.category.clone(),
        wheelchair: place.wheelchair,
    };
    places.iter().map(stored).collect()
}

fn stored_lines(lines: &[Line]) -> Vec<StoredLine> {
    let stored = |line: &Line| StoredLine {
        category: line.category.clone(),
        category_name: line.category_name.clone(),
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    };
    lines.iter().map(stored).collect()
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

fn json<T: Serialize>(value: &T) -> Value {
    // These shapes have string keys only and always have a JSON form.
    Value::Json(serde_json::to_value(value).unwrap_or_default())
}

fn parsed<T: DeserializeOwned>(column: &str, value: serde_json::Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| corrupt(column, &error))
}

fn corrupt(column: &str, detail: &impl ToString) -> Error {
    Error::Corrupt { column: column.to_owned(), detail: detail.to_string() }
}
