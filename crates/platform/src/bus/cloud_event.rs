//! An event in its stored form: CloudEvents 1.0, JSON, structured mode.

use std::borrow::Cow;

use kernel::{Failure, MessageId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Delivery, Envelope};

/// An event as it is stored and sent: what routes it, and its CloudEvents form as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: MessageId,
    pub(super) topic: Cow<'static, str>,
    pub(super) key: String,
    pub(super) event: String,
}

#[derive(Serialize, Deserialize)]
struct CloudEvent<'a, D> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    id: String,
    source: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    subject: Cow<'a, str>,
    time: String,
    datacontenttype: Cow<'a, str>,
    /// An extension attribute: their names are lower case and have no separators.
    correlationid: Cow<'a, str>,
    data: D,
}

impl Envelope {
    /// The event in its stored form.
    ///
    /// # Errors
    /// If the content has no JSON form.
    pub(super) fn record(&self) -> Result<Record, Failure> {
        let event = CloudEvent {
            specversion: Cow::Borrowed("1.0"),
            id: self.id.to_string(),
            source: Cow::Borrowed(&self.source),
            kind: Cow::Borrowed(&self.kind),
            subject: Cow::Borrowed(&self.key),
            time: self.at.to_string(),
            datacontenttype: Cow::Borrowed("application/json"),
            correlationid: Cow::Borrowed(&self.correlation_id),
            data: &self.content,
        };
        Ok(Record {
            id: self.id,
            topic: self.topic.clone(),
            key: self.key.clone(),
            event: serde_json::to_string(&event).map_err(Failure::internal)?,
        })
    }
}

impl Record {
    /// The event as a consumer gets it, after `attempts` tries.
    ///
    /// # Errors
    /// If the text is no CloudEvent of ours: it can never be handled.
    pub(super) fn delivery(&self, attempts: u32) -> Result<Delivery, Failure> {
        let event: CloudEvent<'_, serde_json::Value> =
            serde_json::from_str(&self.event).map_err(|error| Failure::invalid("event", error))?;
        let at = Timestamp::parse(&event.time).map_err(|error| Failure::invalid("time", error))?;
        Ok(Delivery {
            id: self.id,
            topic: self.topic.clone().into_owned(),
            key: self.key.clone(),
            kind: event.kind.into_owned(),
            source: event.source.into_owned(),
            at,
            correlation_id: event.correlationid.into(),
            content: event.data,
            attempts,
        })
    }

    /// What an operator sees of an event whose text is no CloudEvent: all of it, as it was found.
    pub(super) fn unreadable(&self) -> Delivery {
        Delivery {
            id: self.id,
            topic: self.topic.clone().into_owned(),
            key: self.key.clone(),
            kind: "unreadable".to_owned(),
            source: String::new(),
            at: Timestamp::EPOCH,
            correlation_id: "".into(),
            content: serde_json::Value::String(self.event.clone()),
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
            content: serde_json::json!({"seats": ["A-1"], "name": "Ä\n"}),
        };
        let record = envelope.record().unwrap();
        let json: serde_json::Value = serde_json::from_str(&record.event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "specversion": "1.0", "id": "00000000-0000-0000-0000-000000000007",
                "source": "booking", "type": "booking.confirmed", "subject": "b-1",
                "time": "2023-11-14T22:13:20.123456Z", "datacontenttype": "application/json",
                "correlationid": "c\"1", "data": {"seats": ["A-1"], "name": "Ä\n"},
            })
        );
        let delivery = record.delivery(3).unwrap();
        assert_eq!((delivery.id, delivery.at, delivery.attempts), (envelope.id, envelope.at, 3));
        assert_eq!((&*delivery.kind, &*delivery.key), (&*envelope.kind, "b-1"));
        assert_eq!((delivery.content, delivery.correlation_id), (envelope.content, "c\"1".into()));
        let broken = Record { event: "{}".to_owned(), ..record };
        assert_eq!(broken.delivery(0).unwrap_err().code, kernel::Code::Invalid);
    }
}
