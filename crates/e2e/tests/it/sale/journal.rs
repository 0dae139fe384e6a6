//! What the clients know: what they asked for, and all that they were told, for the audit.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use audit::{Acknowledged, body_hash};
use serde_json::Value;
use uuid::Uuid;

/// A request for a booking, made once or more under one key.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) account: String,
    pub(crate) token: String,
    pub(crate) key: String,
    pub(crate) body: Value,
    pub(crate) answered: bool,
}

/// A place in a queue that a buyer was given.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) event: String,
    pub(crate) account: String,
    pub(crate) token: String,
    /// Whether it is known what it came to.
    pub(crate) over: bool,
}

/// All of it. Shared by the clients.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Entries>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Entries {
    pub(crate) wishes: Vec<Wish>,
    pub(crate) places: Vec<Place>,
    /// Every answer, in order.
    pub(crate) told: Vec<Acknowledged>,
    /// Answers that nobody may get.
    pub(crate) surprises: Vec<String>,
}

impl Journal {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }

    /// Notes a wish before it is sent; answers its number.
    pub(crate) fn wish(&self, wish: Wish) -> usize {
        let mut entries = self.entries();
        entries.wishes.push(wish);
        entries.wishes.len() - 1
    }

    /// Notes what a wish was answered, the first time or again; says whether there is a booking.
    pub(crate) fn answered(&self, wish: usize, http: u16, body: &Value) -> bool {
        let entries = &mut *self.entries();
        let wish = &mut entries.wishes[wish];
        wish.answered = true;
        entries.told.push(wish.told(http, body));
        http == 201
    }

    /// Notes how a booking was seen.
    pub(crate) fn seen(&self, wish: usize, booking: &Value) {
        let entries = &mut *self.entries();
        entries.told.push(entries.wishes[wish].told(200, booking));
    }

    /// Notes a place that a buyer was given.
    pub(crate) fn place(&self, place: Place, seen: &Value) -> usize {
        let entries = &mut *self.entries();
        entries.told.push(place.told(seen));
        entries.places.push(place);
        entries.places.len() - 1
    }

    /// Notes what became of a place; says whether it is at its end.
    pub(crate) fn place_seen(&self, place: usize, seen: &Value) -> bool {
        let entries = &mut *self.entries();
        let place = &mut entries.places[place];
        entries.told.push(place.told(seen));
        let status = seen["status"].as_str().unwrap_or_default();
        place.over |= !["waiting", "processing"].contains(&status);
        place.over
    }
}

impl Entries {
    /// Keys that are stuck, and answers that nobody may get.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let stuck = self.wishes.iter().filter(|wish| !wish.answered);
        let stuck = stuck.map(|wish| format!("key {} is stuck: never answered", wish.key));
        stuck.chain(self.surprises.iter().cloned()).collect()
    }

    /// Writes all that was told into a file in `directory`; answers where it is.
    pub(crate) fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("journal.jsonl");
        let journal = audit::Journal::create(&path).unwrap();
        self.told.iter().for_each(|told| journal.note(told).unwrap());
        journal.flush().unwrap();
        path
    }
}

impl Wish {
    fn told(&self, http: u16, body: &Value) -> Acknowledged {
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let refused = http >= 400;
        Acknowledged::Booking {
            account: id(&self.account),
            key: self.key.clone(),
            body: body_hash(self.body.to_string().as_bytes()),
            http,
            booking: body["booking_id"].as_str().filter(|_| !refused).map(id),
            reference: text("reference"),
            status: text("status").filter(|_| !refused).unwrap_or_default(),
            total_minor: body["total"]["minor"].as_i64(),
            currency: body["total"]["currency"].as_str().map(str::to_owned),
            code: text("code").unwrap_or_default(),
        }
    }
}

impl Place {
    fn told(&self, seen: &Value) -> Acknowledged {
        Acknowledged::Place {
            account: id(&self.account),
            event: id(&self.event),
            number: seen["number"].as_u64().unwrap_or_default(),
            status: seen["status"].as_str().unwrap_or_default().to_owned(),
            booking: seen["booking_id"].as_str().map(id),
        }
    }
}

fn id(text: &str) -> Uuid {
    text.parse().unwrap()
}

#[test]
fn a_key_that_was_never_answered_is_stuck() {
    let [account, token, key] = ["a", "t", "k"].map(str::to_owned);
    let wish = Wish { account, token, key, body: Value::Null, answered: false };
    let mut entries = Entries { wishes: vec![wish], ..Entries::default() };
    assert_eq!(entries.wrong(), ["key k is stuck: never answered"]);
    entries.wishes[0].answered = true;
    assert_eq!(entries.wrong(), [""; 0]);
}
