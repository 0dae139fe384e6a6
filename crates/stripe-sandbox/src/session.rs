//! One API call inside its transaction: loads and saves objects, and gathers the events it leads
//! to.

use db::{Error, Tx};
use kernel::{Ids, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{ApiError, Refused},
    events::{self, NewEvent},
    store::{self, Kept, Now},
};

/// The kinds of object, by the prefix of their ids.
pub(crate) const INTENT: &str = "payment_intent";
pub(crate) const CHARGE: &str = "charge";
pub(crate) const REFUND: &str = "refund";
pub(crate) const EVENT: &str = "event";
pub(crate) const PAYMENT_METHOD: &str = "payment_method";
/// The kinds of due work.
pub(crate) const WEBHOOK: &str = "webhook";
pub(crate) const SETTLE: &str = "settle_refund";

/// How long ids are, without their prefix.
const LETTERS: usize = 24;
/// How many letters milliseconds since 1970 take until 2081.
const TIME_LETTERS: usize = 7;
/// Characters of Stripe's ids, ascending.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How the events of a call reach the webhook endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery<'a> {
    /// The kinds that are sent; `*` stands for all.
    pub(crate) kinds: &'a [String],
    /// How often each event is sent; 0 where there is no endpoint.
    pub(crate) copies: usize,
    /// Before when it is not sent.
    pub(crate) not_before: Timestamp,
}

/// One call under way.
pub(crate) struct Session<'a> {
    pub(crate) tx: &'a mut Tx,
    pub(crate) now: Timestamp,
    pub(crate) ids: &'a dyn Ids,
    pub(crate) public_url: &'a str,
    /// The idempotency key, for the events' `request` field.
    pub(crate) key: Option<&'a str>,
    /// Objects that are new or changed, each once.
    kept: Vec<Kept>,
    events: Vec<NewEvent>,
}

/// A new secret: `prefix` and 24 letters and digits.
pub(crate) fn new_secret(ids: &dyn Ids, prefix: &str) -> String {
    let mut secret = String::with_capacity(prefix.len() + LETTERS);
    secret.push_str(prefix);
    push_random(&mut secret, ids, LETTERS);
    secret
}

/// A new id: `prefix` and 24 letters and digits that begin with the time, so that what was made
/// last is close together in an index, however much there is.
pub(crate) fn new_id(ids: &dyn Ids, prefix: &str, now: Timestamp) -> String {
    let mut id = String::with_capacity(prefix.len() + LETTERS);
    id.push_str(prefix);
    let millis = now.micros().div_euclid(1_000).unsigned_abs();
    let digits = (0..TIME_LETTERS as u32).rev().map(|place| millis / 62_u64.pow(place) % 62);
    id.extend(digits.filter_map(|digit| letter(usize::try_from(digit).ok()?)));
    push_random(&mut id, ids, LETTERS - TIME_LETTERS);
    id
}

fn push_random(text: &mut String, ids: &dyn Ids, count: usize) {
    let mut random = [0_u8; LETTERS];
    ids.fill(&mut random);
    text.extend(random.iter().take(count).filter_map(|byte| letter(usize::from(*byte) % 62)));
}

fn letter(index: usize) -> Option<char> {
    ALPHABET.get(index).copied().map(char::from)
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        tx: &'a mut Tx,
        now: Timestamp,
        ids: &'a dyn Ids,
        public_url: &'a str,
        key: Option<&'a str>,
    ) -> Self {
        Self { tx, now, ids, public_url, key, kept: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn id(&self, prefix: &str) -> String {
        new_id(self.ids, prefix, self.now)
    }

    /// Loads an object to change it, as it was before this call.
    pub(crate) async fn load<T: DeserializeOwned>(
        &mut self,
        kind: &'static str,
        id: &str,
    ) -> Result<T, Refused> {
        let found = store::object_for_update(self.tx, kind, id).await?;
        let doc = found.ok_or_else(|| ApiError::no_such(kind, "id", id))?;
        Ok(decode(kind, &doc)?)
    }

    /// Keeps a new object, with what lists of its kind are filtered by.
    pub(crate) fn insert(
        &mut self,
        kind: &'static str,
        id: &str,
        lookup: &str,
        object: &impl Serialize,
    ) -> Result<(), Refused> {
        let now = Now::Own(encode(kind, object)?);
        self.kept.push(Kept { id: id.to_owned(), kind, lookup: Some(lookup.to_owned()), now });
        Ok(())
    }

    /// Keeps a changed object.
    pub(crate) fn save(
        &mut self,
        kind: &'static str,
        id: &str,
        object: &impl Serialize,
    ) -> Result<(), Refused> {
        let now = Now::Own(encode(kind, object)?);
        match self.kept.iter_mut().find(|kept| kept.id == id) {
            Some(kept) => kept.now = now,
            None => self.kept.push(Kept { id: id.to_owned(), kind, lookup: None, now }),
        }
        Ok(())
    }

    /// Notes that `kind` happened to the object `id`, as it was kept or saved last.
    pub(crate) fn emit(&mut self, kind: &'static str, id: &str) -> Result<(), Refused> {
        let event = self.id("evt_");
        let kept = self.kept.iter_mut().find(|kept| kept.id == id);
        let told = kept.map(|kept| std::mem::replace(&mut kept.now, Now::Told(event.clone())));
        let subject = match told {
            Some(Now::Own(doc)) => Some(doc),
            // It happened beside something else.
            Some(Now::Told(before)) => {
                let same = self.events.iter().find(|event| event.id == before);
                same.map(|event| event.subject.clone())
            }
            None => None,
        };
        let subject = subject.ok_or_else(|| Error::Corrupt {
            column: kind.into(),
            detail: format!("{id} was not kept"),
        })?;
        self.events.push(NewEvent { id: event, kind, subject });
        Ok(())
    }

    /// What the call answers, as it is remembered: what an event of it says, if it is the same.
    pub(crate) fn said(&self, answer: &str) -> Now {
        let told = self.events.iter().find(|event| event.subject == answer);
        told.map_or_else(|| Now::Own(answer.to_owned()), |event| Now::Told(event.id.clone()))
    }

    /// Writes what was gathered.
    pub(crate) async fn finish(self, delivery: Delivery<'_>) -> Result<(), Error> {
        let sent = |kind: &str| delivery.kinds.iter().any(|sent| sent == kind || sent == "*");
        let targets: Vec<String> = self
            .events
            .iter()
            .filter(|event| sent(event.kind))
            .flat_map(|event| std::iter::repeat_n(event.id.clone(), delivery.copies))
            .collect();
        if !self.events.is_empty() {
            events::insert(self.tx, self.events, self.now.seconds(), self.key).await?;
        }
        store::keep(self.tx, self.kept).await?;
        if targets.is_empty() {
            return Ok(());
        }
        store::insert_due(self.tx, WEBHOOK, targets, delivery.not_before).await
    }
}

/// Reads a stored object.
pub(crate) fn decode<T: DeserializeOwned>(kind: &str, doc: &str) -> Result<T, Error> {
    serde_json::from_str(doc).map_err(|error| corrupt(kind, &error))
}

/// An object as it travels and is stored.
pub(crate) fn encode(kind: &str, object: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(object).map_err(|error| corrupt(kind, &error))
}

fn corrupt(kind: &str, error: &serde_json::Error) -> Error {
    Error::Corrupt { column: kind.into(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_are_greater_and_as_long_as_stripes() {
        let ids = testkit::SeededIds::new(1);
        let at = |millis: i64| new_id(&ids, "pi_", Timestamp::from_micros(millis * 1_000));
        let moments = [0, 61, 62, 1_790_000_000_000, 1_790_000_000_001, 3_500_000_000_000];
        let made = moments.map(at);
        assert!(made.is_sorted(), "{made:?}");
        assert!(made.iter().all(|id| id.len() == 27), "{made:?}");
        assert_ne!(at(0), at(0));
        assert_ne!(new_secret(&ids, "s_"), new_secret(&ids, "s_"));
    }
}
