//! The lines as the waiting queue keeps them: one an event, members are accounts, contents JSON.

use std::time::Duration;

use kernel::{AccountId, Choice, EventId, Failure, Timestamp};
use platform::kv::{self, Queue, Settled};
use serde::{Deserialize, Serialize};

use crate::domain::{Line, Outcome, Place, Sale, Standing, Turn};

#[derive(Serialize, Deserialize)]
struct SavedLine {
    version: i64,
    queue: bool,
    admissions_per_minute: u32,
    admission_ttl_seconds: u64,
    sale_starts_at_us: i64,
    sale_ends_at_us: i64,
    max_per_booking: u32,
    sale: SavedSale,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedSale {
    On,
    SoldOut,
    Postponed,
    Over,
}

/// What a member leaves with its place; nothing at all without a wish.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedWish {
    Seats(Vec<String>),
    BestAvailable {
        quantity: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        section: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        wheelchair: u32,
    },
    Admissions {
        section: String,
        quantity: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedOutcome {
    Admitted { expires_at_us: i64 },
    Completed { booking_id: String },
    Failed { reason: String },
    Expired { reason: String },
}

/// What the event's line goes by; none where the event is not known.
pub(crate) async fn line(queue: &Queue, event: EventId) -> Result<Option<Line>, Failure> {
    let Some(text) = queue.settings(&event.to_string()).await? else { return Ok(None) };
    let saved: SavedLine = read(&text)?;
    Ok(Some(Line {
        version: saved.version,
        queue: saved.queue,
        admissions_per_minute: saved.admissions_per_minute,
        admission_ttl: Duration::from_secs(saved.admission_ttl_seconds),
        sale_starts_at: Timestamp::from_micros(saved.sale_starts_at_us),
        sale_ends_at: Timestamp::from_micros(saved.sale_ends_at_us),
        max_per_booking: saved.max_per_booking,
        sale: match saved.sale {
            SavedSale::On => Sale::On,
            SavedSale::SoldOut => Sale::SoldOut,
            SavedSale::Postponed => Sale::Postponed,
            SavedSale::Over => Sale::Over,
        },
    }))
}

/// Keeps what the event's line goes by.
pub(crate) async fn set_line(queue: &Queue, event: EventId, line: &Line) -> Result<(), Failure> {
    let saved = SavedLine {
        version: line.version,
        queue: line.queue,
        admissions_per_minute: line.admissions_per_minute,
        admission_ttl_seconds: line.admission_ttl.as_secs(),
        sale_starts_at_us: line.sale_starts_at.micros(),
        sale_ends_at_us: line.sale_ends_at.micros(),
        max_per_booking: line.max_per_booking,
        sale: match line.sale {
            Sale::On => SavedSale::On,
            Sale::SoldOut => SavedSale::SoldOut,
            Sale::Postponed => SavedSale::Postponed,
            Sale::Over => SavedSale::Over,
        },
    };
    queue.configure(&event.to_string(), &write(&saved)?).await
}

/// Takes a place for the account, or finds the one it has; the flag says whether it is new.
pub(crate) async fn join(
    queue: &Queue,
    (event, account): (EventId, AccountId),
    wish: Option<&Choice>,
    max_waiting: u64,
) -> Result<(Place, bool), Failure> {
    let content = wish.map(|wish| write(&saved_wish(wish))).transpose()?.unwrap_or_default();
    let (line, member) = (event.to_string(), account.to_string());
    let joined = queue.join(&line, &member, &content, max_waiting).await;
    let (place, is_new) = joined.map_err(|failure| match failure.fields.first() {
        // The account can't help the name of a content.
        Some(field) if field.field == "content" => Failure::invalid("wish", &field.detail),
        _ => failure,
    })?;
    Ok((restored(place)?, is_new))
}

/// The account's place, or what became of it.
pub(crate) async fn place(
    queue: &Queue,
    event: EventId,
    account: AccountId,
) -> Result<Option<Place>, Failure> {
    let place = queue.place(&event.to_string(), &account.to_string()).await?;
    place.map(restored).transpose()
}

/// Claims up to `count` places at the head of the event's line.
pub(crate) async fn claim(
    queue: &Queue,
    event: EventId,
    count: u32,
    lease: Duration,
) -> Result<Vec<Turn>, Failure> {
    let items = queue.claim(&event.to_string(), count, lease).await?;
    Ok(items.iter().filter_map(|item| turn(event, item)).collect())
}

/// Keeps what became of claimed places, each with the time until which it holds and the time until
/// which it is kept. Answers the numbers of those that nobody else had settled.
pub(crate) async fn settle(
    queue: &Queue,
    event: EventId,
    outcomes: &[(u64, &Outcome, (Timestamp, Timestamp))],
) -> Result<Vec<u64>, Failure> {
    let settled = |(number, outcome, (holds_until, kept_until)): &(u64, &Outcome, _)| {
        let outcome = write(&saved_outcome(outcome))?;
        let (number, holds_until, kept_until) = (*number, *holds_until, *kept_until);
        Ok(Settled { number, outcome, holds_until, kept_until })
    };
    let settled = outcomes.iter().map(settled).collect::<Result<Vec<_>, Failure>>()?;
    queue.settle(&event.to_string(), settled).await
}

fn restored(place: kv::Place) -> Result<Place, Failure> {
    let standing = match place.outcome {
        Some(text) => Standing::Served(outcome(read(&text)?)?),
        None if place.claimed => Standing::Processing,
        None => Standing::Waiting,
    };
    Ok(Place { number: place.number, joined_at: place.joined_at, standing })
}

/// A place whose wish can't be read is one without a wish: its account is admitted, and not lost.
fn turn(event: EventId, item: &kv::Item) -> Option<Turn> {
    let Ok(account) = item.member.parse() else {
        tracing::error!(%event, number = item.number, "a place is no account's");
        return None;
    };
    let wish = match item.content.as_str() {
        "" => None,
        text => read(text)
            .and_then(wish)
            .map_err(|failure| {
                tracing::error!(%event, number = item.number, %failure, "a wish can't be read");
            })
            .ok(),
    };
    let (number, joined_at, attempts) = (item.number, item.joined_at, item.attempts);
    Some(Turn { number, account, wish, joined_at, attempts })
}

fn saved_wish(wish: &Choice) -> SavedWish {
    match wish.clone() {
        Choice::Seats(seats) => SavedWish::Seats(seats.iter().map(ToString::to_string).collect()),
        Choice::BestAvailable { quantity, section, category, wheelchair } => {
            SavedWish::BestAvailable { quantity, section, category, wheelchair }
        }
        Choice::Admissions { section, quantity } => SavedWish::Admissions { section, quantity },
    }
}

fn wish(saved: SavedWish) -> Result<Choice, Failure> {
    match saved {
        SavedWish::Seats(seats) => {
            let seats = seats.iter().map(|seat| seat.parse().map_err(Failure::internal));
            Choice::Seats(seats.collect::<Result<_, _>>()?)
        }
        SavedWish::BestAvailable { quantity, section, category, wheelchair } => {
            Choice::BestAvailable { quantity, section, category, wheelchair }
        }
        SavedWish::Admissions { section, quantity } => Choice::Admissions { section, quantity },
    }
    .checked()
}

fn saved_outcome(outcome: &Outcome) -> SavedOutcome {
    match outcome.clone() {
        Outcome::Admitted { expires_at } => {
            SavedOutcome::Admitted { expires_at_us: expires_at.micros() }
        }
        Outcome::Completed { booking } => {
            SavedOutcome::Completed { booking_id: booking.to_string() }
        }
        Outcome::Failed { reason } => SavedOutcome::Failed { reason },
        Outcome::Expired { reason } => SavedOutcome::Expired { reason },
    }
}

fn outcome(saved: SavedOutcome) -> Result<Outcome, Failure> {
    Ok(match saved {
        SavedOutcome::Admitted { expires_at_us } => {
            Outcome::Admitted { expires_at: Timestamp::from_micros(expires_at_us) }
        }
        SavedOutcome::Completed { booking_id } => {
            Outcome::Completed { booking: booking_id.parse().map_err(Failure::internal)? }
        }
        SavedOutcome::Failed { reason } => Outcome::Failed { reason },
        SavedOutcome::Expired { reason } => Outcome::Expired { reason },
    })
}

fn write(content: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(content).map_err(Failure::internal)
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::internal(format!("the waiting queue lied: {error}")))
}
