//! What events of other services tell whom.

mod booking_events;
mod payment_events;
mod ticket_events;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kernel::{AccountId, EventId, Failure, Timestamp};
use platform::bus::{BOOKING_EVENTS, Delivery, Handler, PAYMENT_EVENTS, TICKET_EVENTS};
use serde::Deserialize;
use serde_json::{Value, json};
use wire::pb::kernel::v1::Money;

use crate::{app::App, domain::Room, relay::Post};

pub(crate) const TOPICS: [&str; 3] = [BOOKING_EVENTS, PAYMENT_EVENTS, TICKET_EVENTS];

/// The most events of which it is remembered what was told last.
const MAX_REMEMBERED: usize = 10_000;

/// The last change of each event's places that this replica has told.
#[derive(Default)]
struct Told(Mutex<HashMap<EventId, i64>>);

impl Told {
    /// Whether this change, or a later one, was told.
    fn has(&self, (event, sequence): (EventId, i64)) -> bool {
        if sequence <= 0 {
            return false;
        }
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(&event).is_some_and(|last| sequence <= *last)
    }

    fn note(&self, (event, sequence): (EventId, i64)) {
        if sequence <= 0 {
            return;
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_REMEMBERED && !told.contains_key(&event) {
            // A repeat of what is forgotten is told again, which a reload mends.
            told.clear();
        }
        told.insert(event, sequence);
    }
}

/// Hands each event on to all replicas. A repeat is told twice: messages to accounts carry the
/// event's id, those to rooms say what is, not what changed by how much. A change of places that is
/// older than one already told is passed over, as it would show seats as they were.
pub(crate) fn handler(app: Arc<App>) -> Handler {
    let told: Arc<Told> = Arc::default();
    Arc::new(move |delivery| {
        let (app, told) = (app.clone(), told.clone());
        Box::pin(async move {
            if app.is_alone && !concerns_anybody(&app, &delivery) {
                return Ok(());
            }
            match news(&delivery)? {
                None => Ok(()),
                Some(News::ToAccount(post)) => app.outgoing.publish(post).await,
                Some(News::Seats(change, _)) if told.has(change) => Ok(()),
                Some(News::Seats(change, post)) => {
                    app.outgoing.pass_on(post).await?;
                    told.note(change);
                    Ok(())
                }
            }
        })
    })
}

/// What an event leads to.
pub(crate) enum News {
    /// A message to an account.
    ToAccount(Post),
    /// A change of an event's places, and which of its changes this is; 0: not known.
    Seats((EventId, i64), Post),
}

/// Whom an event concerns, read without the rest of it.
#[derive(Deserialize)]
struct Concerned {
    booking: Option<Account>,
    account_id: Option<String>,
    event_id: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    account_id: String,
}

/// Whether a room of those whom the event concerns is known here. What can't be told counts.
fn concerns_anybody(app: &App, delivery: &Delivery) -> bool {
    let Ok(Concerned { booking, account_id, event_id }) = delivery.read() else { return true };
    let account = booking.map(|booking| booking.account_id).or(account_id);
    let room = match (account, event_id) {
        (Some(account), _) => account.parse().ok().map(Room::User),
        (None, Some(event)) => event.parse().ok().map(Room::Event),
        (None, None) => None,
    };
    room.is_none_or(|room| app.hub.knows(room))
}

/// What an event leads to. Kinds that are of no concern here lead to nothing.
pub(crate) fn news(delivery: &Delivery) -> Result<Option<News>, Failure> {
    match &*delivery.topic {
        BOOKING_EVENTS => Ok(booking_events::post(delivery)?.map(News::ToAccount)),
        PAYMENT_EVENTS => Ok(payment_events::post(delivery)?.map(News::ToAccount)),
        TICKET_EVENTS => ticket_events::news(delivery),
        _ => Ok(None),
    }
}

/// A message to an account, with the event's id and time in it.
fn to_account(
    delivery: &Delivery,
    account_id: &str,
    kind: &str,
    mut payload: Value,
) -> Result<Option<Post>, Failure> {
    let account: AccountId = wire::id("account_id", account_id)?;
    if let Some(payload) = payload.as_object_mut() {
        payload.insert("message_id".to_owned(), delivery.id.to_string().into());
        payload.insert("at".to_owned(), delivery.at.to_string().into());
        payload.retain(|_, value| !value.is_null());
    }
    let room = Room::User(account);
    Ok(Some(Post { room, kind: kind.to_owned(), payload: payload.to_string() }))
}

/// The text, unless it is empty.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A time in RFC 3339, unless it is not set.
fn time(micros: i64) -> Option<String> {
    (micros != 0).then(|| Timestamp::from_micros(micros).to_string())
}

fn money(amount: Option<&Money>) -> Option<Value> {
    amount.map(|amount| json!({ "minor": amount.minor, "currency": amount.currency }))
}
