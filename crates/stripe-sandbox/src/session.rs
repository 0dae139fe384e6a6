//! One API call inside its transaction: loads and saves objects, and gathers the events it leads
//! to.

use db::{Error, Tx};
use kernel::{Ids, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    error::{ApiError, Refused},
    objects::API_VERSION,
    store::{self, NewObject},
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

/// Characters of Stripe's ids.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How the events of a call reach the webhook endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
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
    inserts: Vec<NewObject>,
    events: Vec<String>,
}

/// A new id or secret: `prefix` and 24 letters and digits.
pub(crate) fn new_id(ids: &dyn Ids, prefix: &str) -> String {
    let mut random = [0_u8; 24];
    ids.fill(&mut random);
    let letters = random.iter().filter_map(|byte| ALPHABET.get(usize::from(*byte) % 62));
    prefix.chars().chain(letters.map(|letter| char::from(*letter))).collect()
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        tx: &'a mut Tx,
        now: Timestamp,
        ids: &'a dyn Ids,
        public_url: &'a str,
        key: Option<&'a str>,
    ) -> Self {
        Self { tx, now, ids, public_url, key, inserts: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn id(&self, prefix: &str) -> String {
        new_id(self.ids, prefix)
    }

    /// Loads an object to change it.
    pub(crate) async fn load<T: DeserializeOwned>(
        &mut self,
        kind: &'static str,
        id: &str,
    ) -> Result<T, Refused> {
        let found = store::object_for_update(self.tx, kind, id).await?;
        let doc = found.ok_or_else(|| ApiError::no_such(kind, "id", id))?;
        Ok(decode(kind, doc)?)
    }

    /// Keeps a new object, with what lists of its kind are filtered by.
    pub(crate) fn insert(
        &mut self,
        kind: &'static str,
        id: &str,
        lookup: &str,
        object: &impl Serialize,
    ) -> Result<(), Refused> {
        let doc = encode(kind, object)?;
        let (id, lookup) = (id.to_owned(), lookup.to_owned());
        self.inserts.push(NewObject { id, kind, lookup, doc });
        Ok(())
    }

    /// Keeps a changed object.
    pub(crate) async fn save(
        &mut self,
        kind: &'static str,
        id: &str,
        object: &impl Serialize,
    ) -> Result<(), Refused> {
        let doc = encode(kind, object)?;
        // An object made in this very call is not in the database yet.
        match self.inserts.iter_mut().find(|new| new.id == id) {
            Some(new) => new.doc = doc,
            None => store::update_object(self.tx, id, doc).await?,
        }
        Ok(())
    }

    /// Notes that `name` happened to `object`, as it is now.
    pub(crate) fn emit(&mut self, name: &str, object: &impl Serialize) -> Result<(), Refused> {
        let id = self.id("evt_");
        let event = json!({
            "id": id,
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now.seconds(),
            "data": { "object": encode(EVENT, object)? },
            "livemode": false,
            "pending_webhooks": 1,
            "request": { "id": null, "idempotency_key": self.key },
            "type": name,
        });
        self.insert(EVENT, &id, name, &event)?;
        self.events.push(id);
        Ok(())
    }

    /// Writes what was gathered.
    pub(crate) async fn finish(self, delivery: Delivery) -> Result<(), Error> {
        if !self.inserts.is_empty() {
            store::insert_objects(self.tx, self.inserts).await?;
        }
        let targets: Vec<String> = self
            .events
            .into_iter()
            .flat_map(|id| std::iter::repeat_n(id, delivery.copies))
            .collect();
        if targets.is_empty() {
            return Ok(());
        }
        store::insert_due(self.tx, WEBHOOK, targets, delivery.not_before).await
    }
}

/// Reads a stored object.
pub(crate) fn decode<T: DeserializeOwned>(kind: &str, doc: Value) -> Result<T, Error> {
    serde_json::from_value(doc)
        .map_err(|error| Error::Corrupt { column: kind.into(), detail: error.to_string() })
}

fn encode(kind: &str, object: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(object)
        .map_err(|error| Error::Corrupt { column: kind.into(), detail: error.to_string() })
}
