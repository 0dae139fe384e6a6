//! What the clients know: what they asked for, what they were told, and what they were told twice.

use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

/// A request for a booking, made once or more under one key.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) account: String,
    pub(crate) token: String,
    pub(crate) key: String,
    pub(crate) body: Value,
    /// What the key's request was answered; none while that is not known.
    pub(crate) answer: Option<Answer>,
    /// Somebody was told that it is confirmed.
    pub(crate) seen_confirmed: bool,
    /// Somebody was told that it is cancelled.
    pub(crate) seen_cancelled: bool,
}

/// What a request for a booking was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is one. While it is still being opened it can come to be refused.
    Booking { id: String, opening: bool },
    /// Refused for good.
    Refused(String),
}

/// A place in a queue that a buyer was given.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) event: String,
    pub(crate) account: String,
    pub(crate) token: String,
    pub(crate) number: u64,
    /// Whether the queue is to book for the buyer.
    pub(crate) wished: bool,
    /// What it came to; empty while it waits.
    pub(crate) end: String,
    /// What the queue booked.
    pub(crate) booking: Option<String>,
}

/// All of it. Shared by the clients.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Entries>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Entries {
    pub(crate) wishes: Vec<Wish>,
    pub(crate) places: Vec<Place>,
    /// Answers that can't both be true.
    pub(crate) contradictions: Vec<String>,
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

    /// Notes what a wish was answered, the first time or again.
    pub(crate) fn answered(&self, wish: usize, status: u16, body: &Value) -> Answer {
        let answer = Answer::of(status, body);
        let entries = &mut *self.entries();
        let wish = &mut entries.wishes[wish];
        let agrees = match (&wish.answer, &answer) {
            (None, _) => true,
            (Some(Answer::Booking { id, .. }), Answer::Booking { id: now, .. }) => id == now,
            (Some(Answer::Booking { opening, .. }), Answer::Refused(_)) => *opening,
            (Some(Answer::Refused(before)), now) => *now == Answer::Refused(before.clone()),
        };
        if !agrees {
            let words = format!("key {}: {:?}, then {answer:?}", wish.key, wish.answer);
            entries.contradictions.push(words);
        }
        wish.answer = Some(answer.clone());
        if status == 201 {
            wish.seen(body);
        }
        answer
    }

    /// Notes how a booking was seen.
    pub(crate) fn seen(&self, wish: usize, booking: &Value) {
        self.entries().wishes[wish].seen(booking);
    }

    /// Notes a place that a buyer was given.
    pub(crate) fn place(&self, place: Place) -> usize {
        let mut entries = self.entries();
        entries.places.push(place);
        entries.places.len() - 1
    }

    /// Notes what became of a place; says whether it is at its end.
    pub(crate) fn place_seen(&self, place: usize, seen: &Value) -> bool {
        let entries = &mut *self.entries();
        let place = &mut entries.places[place];
        let status = seen["status"].as_str().unwrap_or_default();
        if seen["number"].as_u64() != Some(place.number) {
            let words = format!("place {} of {} became {seen}", place.number, place.account);
            entries.contradictions.push(words);
        }
        if !["waiting", "processing"].contains(&status) {
            status.clone_into(&mut place.end);
            place.booking = seen["booking_id"].as_str().map(str::to_owned);
        }
        !place.end.is_empty()
    }
}

impl Wish {
    fn seen(&mut self, booking: &Value) {
        self.seen_confirmed |= booking["status"] == "confirmed";
        self.seen_cancelled |= booking["status"] == "cancelled";
    }
}

impl Answer {
    fn of(status: u16, body: &Value) -> Self {
        if status == 201 {
            let opening = ["pending", "reserving", "seats_reserved"];
            let opening = opening.contains(&body["status"].as_str().unwrap_or_default());
            let id = body["booking_id"].as_str().unwrap_or_default().to_owned();
            return Self::Booking { id, opening };
        }
        Self::Refused(format!("{status} {}", body["code"].as_str().unwrap_or_default()))
    }
}
