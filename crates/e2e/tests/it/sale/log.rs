//! The event log of brokers, read from its beginning to its end, and how far each group is.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::BorrowedMessage,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;

use super::facts::Event;

const TOPICS: [&str; 5] =
    ["booking-events", "payment-events", "ticket-events", "catalog-events", "account-events"];

/// Who reads what; written down here once more, on purpose.
const GROUPS: [(&str, &[&str]); 6] = [
    ("booking", &["payment-events"]),
    ("booking-worker", &["catalog-events"]),
    ("email-worker", &["account-events", "booking-events"]),
    ("event", &["ticket-events"]),
    ("realtime", &["booking-events", "payment-events", "ticket-events"]),
    ("user", &["account-events"]),
];

const PATIENCE: Duration = Duration::from_secs(20);

/// What brokers have.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Each once, numbered in each topic; in order by key.
    pub(super) events: Vec<Event>,
    /// Topic, number of its last event.
    pub(super) topics: Vec<(String, i64)>,
    /// Group, topic, how many events less than all it is done with, as a number.
    pub(super) offsets: Vec<(String, String, i64)>,
    /// What is wrong or was given up, in words.
    pub(super) leftovers: Vec<String>,
}

/// A partition with the offset of its next message.
type End = (String, i32, i64);

/// Reads all of it. Blocks.
pub(super) fn read(brokers: &str) -> Log {
    let mut log = Log::default();
    let reader = reader(brokers, "audit");
    let metadata = reader.fetch_metadata(None, PATIENCE).unwrap();
    let mut ends = Vec::new();
    for topic in metadata.topics() {
        let name = topic.name();
        let ours = TOPICS.contains(&name.trim_end_matches(".dlq"));
        for partition in topic.partitions().iter().filter(|_| ours) {
            let (low, high) = reader.fetch_watermarks(name, partition.id(), PATIENCE).unwrap();
            if low > 0 {
                log.leftovers.push(format!("the log of {name} has a hole before {low}"));
            }
            ends.push((name.to_owned(), partition.id(), high));
        }
    }
    log.read_events(&reader, &ends);
    let last = |topic: &str| log.events.iter().filter(|its| its.topic == topic).count() as i64;
    log.topics = TOPICS.iter().map(|topic| ((*topic).to_owned(), last(topic))).collect();
    log.read_offsets(brokers, &ends);
    log
}

fn reader(brokers: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group);
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    config.create().unwrap()
}

/// Puts `text` onto a topic, as nobody of ours would. Blocks.
pub(super) fn plant(brokers: &str, topic: &str, text: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    producer.send(BaseRecord::to(topic).key("planted").payload(text)).unwrap();
    producer.flush(PATIENCE).unwrap();
}

impl Log {
    fn read_events(&mut self, reader: &BaseConsumer, ends: &[End]) {
        let mut open: BTreeSet<(String, i32)> = BTreeSet::new();
        let mut list = TopicPartitionList::new();
        for (topic, partition, end) in ends.iter().filter(|(.., end)| *end > 0) {
            list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
            open.insert((topic.clone(), *partition));
            assert!(*end >= 0, "{topic}");
        }
        reader.assign(&list).unwrap();
        let mut seen = BTreeSet::new();
        let mut numbers = [0; TOPICS.len()];
        while !open.is_empty() {
            let message = reader.poll(PATIENCE).expect("the log's end in time").unwrap();
            let (topic, partition) = (message.topic().to_owned(), message.partition());
            let next = message.offset() + 1;
            if ends.iter().any(|(its, at, end)| (its, *at) == (&topic, partition) && *end <= next) {
                open.remove(&(topic.clone(), partition));
            }
            let Some(at) = TOPICS.iter().position(|its| *its == topic) else {
                let letter = String::from_utf8_lossy(message.payload().unwrap_or_default());
                if !letter.is_empty() {
                    self.leftovers.push(format!("a dead letter in {topic}: {letter}"));
                }
                continue;
            };
            let mut event = event(&message);
            // Told at least once: a relay that was killed repeats itself, and readers remember.
            if seen.insert(event.id.clone()) {
                numbers[at] += 1;
                event.number = numbers[at];
                self.events.push(event);
            }
        }
    }

    fn read_offsets(&mut self, brokers: &str, ends: &[End]) {
        for (group, topics) in GROUPS {
            let reader = reader(brokers, group);
            let mut list = TopicPartitionList::new();
            for (topic, partition, _) in ends.iter().filter(|its| topics.contains(&&*its.0)) {
                list.add_partition(topic, *partition);
            }
            let committed = reader.committed_offsets(list, PATIENCE).unwrap();
            for topic in topics {
                let done = |partition: i32| {
                    let found = committed.find_partition(topic, partition).map(|its| its.offset());
                    if let Some(Offset::Offset(offset)) = found { offset } else { 0 }
                };
                let its = ends.iter().filter(|(its, ..)| its == topic);
                let lag: i64 = its.map(|(_, partition, end)| end - done(*partition)).sum();
                let last = self.topics.iter().find(|(its, _)| its == topic).map_or(0, |its| its.1);
                self.offsets.push((group.to_owned(), (*topic).to_owned(), last - lag));
            }
        }
    }
}

fn event(message: &BorrowedMessage<'_>) -> Event {
    let event: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
    let text = |key: &str| event[key].as_str().unwrap().to_owned();
    Event {
        topic: message.topic().to_owned(),
        number: 0,
        id: text("id"),
        key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
        kind: text("type"),
        content: event["data"].clone(),
    }
}
