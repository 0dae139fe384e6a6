//! An event in its stored form: CloudEvents 1.0, JSON, structured mode. The text is written once,
//! and for an event that stays in this process only when somebody asks; of a text that was read
//! only the head is parsed, and the message by whoever wants it.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use kernel::{Failure, MessageId, Timestamp};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{Content, Delivery, Envelope, Form};

/// An event as it is stored and sent: what routes it, and what it tells. Cheap to clone, so that
/// all groups share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: MessageId,
    pub(super) topic: Cow<'static, str>,
    pub(super) key: Arc<str>,
    pub(super) told: Told,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Its CloudEvents form as JSON text, and its head where it was written here.
    Event(Arc<str>, Option<Arc<Head>>),
    /// Its message as JSON text, of an event that was written here; and its CloudEvents form, once
    /// somebody has asked for it.
    Message(Arc<str>, Arc<Head>, Arc<OnceLock<Box<str>>>),
}

/// What an event says of itself, beside what routes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    kind: Arc<str>,
    source: Arc<str>,
    at: Timestamp,
    correlation_id: Arc<str>,
}

/// All of the event but its `data`.
#[derive(Serialize)]
struct Opening<'a> {
    specversion: &'a str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
    time: String,
    datacontenttype: &'a str,
    /// An extension attribute: their names are lower case and have no separators.
    correlationid: &'a str,
}

/// An event of which only the head is read.
#[derive(Deserialize)]
struct Heading<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    correlationid: Cow<'a, str>,
    #[serde(rename = "data")]
    _data: IgnoredAny,
}

/// An event of which only the message is read.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// The message of the event whose text this is.
pub(super) fn data<T: for<'de> Deserialize<'de>>(event: &str) -> serde_json::Result<T> {
    serde_json::from_str(event).map(|Data { data }| data)
}

impl Envelope {
    /// The event in its stored form.
    ///
    /// # Errors
    /// If it has no JSON form.
    pub(super) fn record(&self) -> Result<Record, Failure> {
        let opening = Opening {
            specversion: "1.0",
            id: self.id.to_string(),
            source: &self.source,
            kind: &self.kind,
            subject: &self.key,
            time: self.at.to_string(),
            datacontenttype: "application/json",
            correlationid: &self.correlation_id,
        };
        let opening = serde_json::to_string(&opening).map_err(Failure::internal)?;
        let event = whole(&opening, &self.content);
        Ok(self.told(Told::Event(event.into(), Some(Arc::new(self.head())))))
    }

    /// The event as it is handed on within the process.
    pub(super) fn here(&self) -> Record {
        self.told(Told::Message(self.content.clone(), Arc::new(self.head()), Arc::default()))
    }

    fn told(&self, told: Told) -> Record {
        Record { id: self.id, topic: self.topic.clone(), key: self.key.as_str().into(), told }
    }

    fn head(&self) -> Head {
        Head {
            kind: (&*self.kind).into(),
            source: (&*self.source).into(),
            at: self.at,
            correlation_id: self.correlation_id.clone(),
        }
    }
}

/// An event of all but its `data`, and that.
fn whole(opening: &str, data: &str) -> String {
    [opening.strip_suffix('}').unwrap_or(opening), ",\"data\":", data, "}"].concat()
}

impl Head {
    fn read(event: &str) -> Result<Self, Failure> {
        let told: Heading<'_> =
            serde_json::from_str(event).map_err(|error| Failure::invalid("event", error))?;
        let at = Timestamp::parse(&told.time).map_err(|error| Failure::invalid("time", error))?;
        Ok(Self {
            kind: told.kind.into(),
            source: told.source.into(),
            at,
            correlation_id: told.correlationid.into(),
        })
    }
}

impl Record {
    /// The event as a consumer gets it, after `attempts` tries.
    ///
    /// # Errors
    /// If the text is no CloudEvent of ours: it can never be handled.
    pub(super) fn delivery(&self, attempts: u32) -> Result<Delivery, Failure> {
        let (head, content) = match &self.told {
            Told::Event(event, Some(head)) => (Head::clone(head), Form::Event(event.clone())),
            Told::Event(event, None) => (Head::read(event)?, Form::Event(event.clone())),
            Told::Message(message, head, _) => (Head::clone(head), Form::Message(message.clone())),
        };
        let Head { kind, source, at, correlation_id } = head;
        Ok(Delivery {
            id: self.id,
            topic: self.topic.clone(),
            key: self.key.clone(),
            kind,
            source,
            at,
            correlation_id,
            content: Content(content),
            attempts,
        })
    }

    /// Its CloudEvents form as JSON text.
    pub(super) fn event(&self) -> &str {
        match &self.told {
            Told::Event(event, _) => event,
            Told::Message(message, head, event) => event.get_or_init(|| {
                let opening = serde_json::json!({
                    "specversion": "1.0", "id": self.id.to_string(), "source": &*head.source,
                    "type": &*head.kind, "subject": &*self.key, "time": head.at.to_string(),
                    "datacontenttype": "application/json", "correlationid": &*head.correlation_id,
                });
                whole(&opening.to_string(), message).into()
            }),
        }
    }

    /// What an operator sees of an event whose text is no CloudEvent: all of it, as it was found.
    pub(super) fn unreadable(&self) -> Delivery {
        Delivery {
            id: self.id,
            topic: self.topic.clone(),
            key: self.key.clone(),
            kind: "unreadable".into(),
            source: "".into(),
            at: Timestamp::EPOCH,
            correlation_id: "".into(),
            content: serde_json::Value::String(self.event().to_owned()).into(),
            attempts: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_its_stored_form() {
        let envelope = Envelope {
            id: MessageId::from_uuid(uuid::Uuid::from_u128(7)),
            topic: super::super::BOOKING_EVENTS.into(),
            key: "b-1".to_owned(),
            kind: "booking.confirmed".into(),
            source: "booking".into(),
            at: Timestamp::from_micros(1_700_000_000_123_456),
            correlation_id: "c\"1".into(),
            content: r#"{"seats": ["A-1"], "name": "Ä\n"}"#.into(),
        };
        let record = envelope.record().unwrap();
        let json: serde_json::Value = serde_json::from_str(record.event()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "specversion": "1.0", "id": "00000000-0000-0000-0000-000000000007",
                "source": "booking", "type": "booking.confirmed", "subject": "b-1",
                "time": "2023-11-14T22:13:20.123456Z", "datacontenttype": "application/json",
                "correlationid": "c\"1", "data": {"seats": ["A-1"], "name": "Ä\n"},
            })
        );
        // As it is handed on where it was written, and as it is read elsewhere.
        let read = Record { told: Told::Event(record.event().into(), None), ..record.clone() };
        let here = envelope.here();
        assert_eq!(serde_json::from_str::<serde_json::Value>(here.event()).unwrap(), json);
        for found in [record, read.clone(), here] {
            let found = found.delivery(3).unwrap();
            assert_eq!((found.id, found.at, found.attempts), (envelope.id, envelope.at, 3));
            assert_eq!((&*found.kind, &*found.key), (&*envelope.kind, "b-1"));
            assert_eq!((&*found.source, &*found.correlation_id), ("booking", "c\"1"));
            assert_eq!(found.read::<serde_json::Value>().unwrap(), json["data"]);
            assert_eq!(found.read::<Vec<u8>>().unwrap_err().code, kernel::Code::Invalid);
        }
        for broken in ["{}", "", r#"{"source":"a","type":"b","correlationid":"c","data":1}"#] {
            let broken = Record { told: Told::Event(broken.into(), None), ..read.clone() };
            assert_eq!(broken.delivery(0).unwrap_err().code, kernel::Code::Invalid);
        }
    }
}
