//! What events of other services tell whom.

mod booking_events;
mod payment_events;
mod ticket_events;

use std::sync::Arc;

use kernel::{AccountId, Failure, Timestamp};
use platform::bus::{BOOKING_EVENTS, Delivery, Handler, PAYMENT_EVENTS, TICKET_EVENTS};
use serde_json::{Value, json};
use wire::pb::kernel::v1::Money;

use crate::{
    app::App,
    domain::Room,
    relay::{self, Post},
};

pub(crate) const TOPICS: [&str; 3] = [BOOKING_EVENTS, PAYMENT_EVENTS, TICKET_EVENTS];

/// Hands each event on to all replicas. A repeat is told twice: messages to accounts carry the
/// event's id, those to rooms say what is, not what changed by how much.
pub(crate) fn handler(app: Arc<App>) -> Handler {
    Arc::new(move |delivery| {
        let app = app.clone();
        Box::pin(async move {
            match post(&delivery)? {
                Some(post) => relay::publish(&app, &post).await,
                None => Ok(()),
            }
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
