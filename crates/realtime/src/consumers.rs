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
use serde_json::{Value, json};
use wire::pb::kernel::v1::Money;

use crate::{
    app::App,
    domain::Room,
    relay::{self, Post},
};

pub(crate) const TOPICS: [&str; 3] = [BOOKING_EVENTS, PAYMENT_EVENTS, TICKET_EVENTS];

/// The most events of which it is remembered what was told last.
const MAX_REMEMBERED: usize = 10_000;

/// The last change of each event's places that this replica has told.
#[derive(Default)]
struct Told(Mutex<HashMap<EventId, i64>>);

impl Told {
    /// Whether this change, or a later one, was told.
    fn has(&self, (event, sequence): (EventId, i64)) -> bool {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(&event).is_some_and(|last| sequence <= *last)
    }

    fn note(&self, (event, sequence): (EventId, i64)) {
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
            let change = match delivery.topic.as_str() {
                TICKET_EVENTS => ticket_events::sequence(&delivery)?,
                _ => None,
            };
            let Some(post) = post(&delivery)? else { return Ok(()) };
            if change.is_some_and(|change| told.has(change)) {
                return Ok(());
            }
            relay::publish(&app, &post).await?;
            change.into_iter().for_each(|change| told.note(change));
            Ok(())
        })
    })
}

/// The message that an event leads to. Kinds that are of no concern here lead to none.
pub(crate) fn post(delivery: &Delivery) -> Result<Option<Post>, Failure> {
    match delivery.topic.as_str() {
        BOOKING_EVENTS => booking_events::post(delivery),
        PAYMENT_EVENTS => payment_events::post(delivery),
        TICKET_EVENTS => ticket_events::post(delivery),
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
