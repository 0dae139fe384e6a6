//! Events as Kafka messages: the key is the aggregate's id, the value the CloudEvent as JSON
//! (structured mode), headers spare readers its parsing.

use std::sync::Arc;

use kernel::MessageId;
use rdkafka::{
    Message,
    message::{Header, Headers, OwnedHeaders},
    producer::FutureRecord,
};
use uuid::Uuid;

use crate::bus::{
    TOPICS,
    cloud_event::{Record, Told},
};

const CONTENT_TYPE: &str = "content-type";
const CLOUD_EVENT: &str = "application/cloudevents+json; charset=UTF-8";
const ID: &str = "ce_id";
/// The topic that an event was on first, where it was handed over again.
pub(super) const TOPIC: &str = "origin-topic";

/// A header's value as text.
pub(super) fn header<'a>(message: &'a impl Message, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}

/// The headers of an event.
pub(super) fn headers(id: MessageId) -> OwnedHeaders {
    let mut text = Uuid::encode_buffer();
    let id: &str = id.uuid().hyphenated().encode_lower(&mut text);
    with(with(OwnedHeaders::new_with_capacity(2), CONTENT_TYPE, CLOUD_EVENT), ID, id)
}

pub(super) fn with(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// The message that tells an event.
pub(super) fn message<'a>(topic: &'a str, record: &'a Record) -> FutureRecord<'a, str, str> {
    FutureRecord::to(topic).key(&*record.key).payload(record.event()).headers(headers(record.id))
}

/// The event that a message on `topic` (as we call it) tells. One that is none of ours is taken
/// as it is, so that it becomes a dead letter and is not lost.
pub(super) fn record(topic: &str, message: &impl Message) -> Record {
    let origin = header(message, TOPIC).filter(|topic| TOPICS.contains(topic));
    let topic = origin.unwrap_or(topic).to_owned();
    let text = |bytes: Option<&[u8]>| {
        let bytes = bytes.unwrap_or_default();
        let valid = std::str::from_utf8(bytes).map(Arc::from);
        valid.unwrap_or_else(|_| Arc::from(&*String::from_utf8_lossy(bytes)))
    };
    let event = text(message.payload());
    let id = header(message, ID).and_then(|id| Uuid::try_parse(id).ok());
    let id = id.or_else(|| named_id(&event)).unwrap_or_else(|| place(message));
    let (id, key) = (MessageId::from_uuid(id), text(message.key()));
    Record { id, topic: topic.into(), key, told: Told::Event(event, None) }
}

/// The id that the event itself has, where its sender left out the header.
fn named_id(event: &str) -> Option<Uuid> {
    let event: serde_json::Value = serde_json::from_str(event).ok()?;
    Uuid::try_parse(event.get("id")?.as_str()?).ok()
}

/// The message's place as an id: the same each time it is read.
fn place(message: &impl Message) -> Uuid {
    let offset = u64::try_from(message.offset()).unwrap_or(0);
    let partition = u64::try_from(message.partition()).unwrap_or(0);
    Uuid::from_u64_pair(partition, offset)
}
