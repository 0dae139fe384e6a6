//! Reads the event log of Kafka from its beginning to where it ended when it was asked, and how far
//! each group of consumers is. It joins no group, and commits nothing.

use std::{collections::BTreeMap, time::Duration};

use kernel::Timestamp;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use rusqlite::{params, types::Value};
use serde::Deserialize;
use uuid::Uuid;

use crate::{Error, facts::Depth, notes::Notes};

const TOPICS: [&str; 5] =
    ["booking-events", "payment-events", "ticket-events", "catalog-events", "account-events"];
const LETTERS: &str = ".dlq";

/// Who reads what; written down here once more, on purpose.
const GROUPS: [(&str, &[&str]); 6] = [
    ("booking", &["payment-events"]),
    ("booking-worker", &["catalog-events"]),
    ("email-worker", &["account-events", "booking-events"]),
    ("event", &["ticket-events"]),
    ("realtime", &["booking-events", "payment-events", "ticket-events"]),
    ("user", &["account-events"]),
];

/// How long the brokers may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A partition of ours.
struct Part {
    /// As we call it, without the namespace.
    topic: String,
    number: i32,
    /// The offset of its first message, and of the one that would be next.
    first: i64,
    next: i64,
    /// What was read of it.
    count: i64,
    /// When its first event was made.
    since: Option<i64>,
}

/// What rules ask of an event; the rest is passed over.
#[derive(Deserialize)]
struct Told<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    time: &'a str,
    #[serde(borrow)]
    data: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    hold_id: Option<&'a str>,
}

struct Log<'a> {
    brokers: &'a str,
    namespace: &'a str,
    parts: Vec<Part>,
    notes: &'a Notes,
}

fn wrong(error: impl ToString) -> Error {
    Error::store("the event log in Kafka", error)
}

/// Takes over all of it. Blocks.
pub(crate) fn take(
    (brokers, namespace): (&str, &str),
    depth: Depth,
    notes: &Notes,
) -> Result<(), Error> {
    let reader = reader(brokers, &format!("{namespace}boxoffice-audit")).map_err(wrong)?;
    let parts = parts(&reader, namespace)?;
    let mut log = Log { brokers, namespace, parts, notes };
    notes.run("begin")?;
    log.read(&reader, depth)?;
    log.read_offsets()?;
    notes.run("commit")
}

fn reader(brokers: &str, group: &str) -> Result<BaseConsumer, KafkaError> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group);
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    config.create()
}

fn parts(reader: &BaseConsumer, namespace: &str) -> Result<Vec<Part>, Error> {
    let metadata = reader.fetch_metadata(None, PATIENCE).map_err(wrong)?;
    let mut parts = Vec::new();
    for topic in metadata.topics() {
        let Some(name) = topic.name().strip_prefix(namespace) else { continue };
        if !TOPICS.contains(&name.strip_suffix(LETTERS).unwrap_or(name)) {
            continue;
        }
        for partition in topic.partitions() {
            let (topic, number) = (topic.name(), partition.id());
            let ends = reader.fetch_watermarks(topic, number, PATIENCE).map_err(wrong)?;
            let (first, next) = ends;
            let topic = name.to_owned();
            parts.push(Part { topic, number, first, next, count: 0, since: None });
        }
    }
    match TOPICS.into_iter().find(|topic| !parts.iter().any(|part| part.topic == *topic)) {
        Some(missing) => Err(wrong(format!("there is no topic {namespace}{missing}"))),
        None => Ok(parts),
    }
}

impl Log<'_> {
    fn read(&mut self, reader: &BaseConsumer, depth: Depth) -> Result<(), Error> {
        let wanted = |part: &Part| depth == Depth::All || part.topic.ends_with(LETTERS);
        let mut list = TopicPartitionList::new();
        let mut open = 0_usize;
        for part in self.parts.iter().filter(|part| wanted(part) && part.next > part.first) {
            let name = format!("{}{}", self.namespace, part.topic);
            list.add_partition_offset(&name, part.number, Offset::Offset(part.first))
                .map_err(wrong)?;
            open += 1;
        }
        reader.assign(&list).map_err(wrong)?;
        // By key: what follows it is the last word on a letter.
        let mut letters = BTreeMap::new();
        while open > 0 {
            let message = reader.poll(PATIENCE);
            let message = message.ok_or_else(|| wrong("its end did not come in time"))?;
            let message = message.map_err(wrong)?;
            let next = message.offset() + 1;
            let Some(part) = self.part(&message) else { continue };
            if next > part.next {
                continue;
            }
            part.count += 1;
            open -= usize::from(next == part.next);
            let topic = part.topic.clone();
            if topic.ends_with(LETTERS) {
                let text = |bytes: Option<&[u8]>| {
                    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
                };
                letters.insert((topic, text(message.key())), text(message.payload()));
                continue;
            }
            let at = self.add(&topic, &message)?;
            if let Some(part) = self.part(&message) {
                part.since = part.since.or(at);
            }
        }
        for ((topic, _), letter) in letters.iter().filter(|(_, letter)| !letter.is_empty()) {
            let words = format!("a dead letter in {topic}: {letter}");
            self.notes.add("given_up", &[Value::Text(words)])?;
        }
        if depth == Depth::All { self.add_spans() } else { Ok(()) }
    }

    fn part(&mut self, message: &BorrowedMessage<'_>) -> Option<&mut Part> {
        let topic = message.topic().strip_prefix(self.namespace)?;
        let number = message.partition();
        self.parts.iter_mut().find(|part| part.number == number && part.topic == topic)
    }

    /// Notes an event, but where it was noted before: a relay that was killed repeats itself, and
    /// consumers remember. Answers when it was made, if it is an event.
    fn add(&self, topic: &str, message: &BorrowedMessage<'_>) -> Result<Option<i64>, Error> {
        let payload = message.payload().unwrap_or_default();
        let Some((id, at, told)) = told(payload) else {
            let payload = Value::Text(String::from_utf8_lossy(payload).into_owned());
            self.notes.add("stray", &[Value::Text(topic.to_owned()), payload])?;
            return Ok(None);
        };
        let key = message.key().and_then(|key| Uuid::try_parse_ascii(key).ok());
        let hold = told.data.hold_id.and_then(|hold| Uuid::try_parse(hold).ok());
        const ADD: &str = "insert or ignore into news values (?, ?, ?, ?, ?, ?, ?, ?)";
        let mut add = self.notes.0.prepare_cached(ADD)?;
        add.execute(params![
            id.as_bytes(),
            topic,
            message.partition(),
            message.offset(),
            key.as_ref().map(Uuid::as_bytes),
            told.kind,
            hold.as_ref().map(Uuid::as_bytes),
            at,
        ])?;
        Ok(Some(at))
    }

    fn add_spans(&self) -> Result<(), Error> {
        let facts = self.parts.iter().filter(|part| !part.topic.ends_with(LETTERS));
        for part in facts {
            let trimmed = if part.first > 0 {
                Value::Integer(part.since.unwrap_or(i64::MAX))
            } else {
                Value::Null
            };
            let number = Value::Integer(i64::from(part.number));
            let [first, next, count] = [part.first, part.next, part.count].map(Value::Integer);
            let topic = Value::Text(part.topic.clone());
            self.notes.add("span", &[topic, number, first, next, count, trimmed])?;
        }
        Ok(())
    }

    fn read_offsets(&self) -> Result<(), Error> {
        for (group, topics) in GROUPS {
            let reader =
                reader(self.brokers, &format!("{}{group}", self.namespace)).map_err(wrong)?;
            for topic in topics {
                let name = format!("{}{topic}", self.namespace);
                let parts: Vec<_> = self.parts.iter().filter(|its| its.topic == *topic).collect();
                let mut list = TopicPartitionList::new();
                for part in &parts {
                    list.add_partition(&name, part.number);
                }
                let done = reader.committed_offsets(list, PATIENCE).map_err(wrong)?;
                let behind = parts.iter().map(|part| {
                    let found = done.find_partition(&name, part.number);
                    match found.map(|its| its.offset()) {
                        Some(Offset::Offset(offset)) => (part.next - offset).max(0),
                        _ => part.next - part.first,
                    }
                });
                let behind = Value::Integer(behind.sum());
                let [group, topic] = [group, *topic].map(|text| Value::Text(text.to_owned()));
                self.notes.add("behind", &[group, topic, behind])?;
            }
        }
        Ok(())
    }
}

/// Id, time and the rest of an event; none if it is no event of ours.
fn told(payload: &[u8]) -> Option<(Uuid, i64, Told<'_>)> {
    let told: Told<'_> = serde_json::from_slice(payload).ok()?;
    Some((Uuid::try_parse(told.id).ok()?, Timestamp::parse(told.time).ok()?.micros(), told))
}
