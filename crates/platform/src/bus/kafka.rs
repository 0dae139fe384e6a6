//! The event log on Apache Kafka.
//!
//! `<topic>` holds the facts, by key; `<topic>.dlq` what some group could not handle; and
//! `<group>.replay` what is handed to one group again.

mod client;
mod consumer;
mod letters;
mod member;
mod message;
mod note;
mod offsets;
mod partitions;
mod producer;
mod topics;

use std::{sync::Arc, time::Duration};

use kernel::Failure;

use self::{consumer::Consumer, offsets::Offsets, producer::Producer, topics::Topics};
use super::{
    DeadLetter, Envelope, Handler, Settings, Urgency, cloud_event::Record, meters::Registered,
};
use crate::{Metrics, Tasks};

pub use self::topics::TopicState;

/// How long events are kept by default: a week.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Where the log is, and how its topics are made if they are missing; topics that exist are left as
/// they are.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// The brokers to begin with: `host:port,host:port`.
    pub brokers: String,
    /// Goes before the name of each topic and group. Empty for a broker of our own.
    pub namespace: String,
    /// How many partitions a topic gets: at most that many replicas of a service share its events.
    pub partitions: i32,
    /// How many brokers keep a copy of each event. All but one of them must have it before it
    /// counts as published.
    pub replication: i32,
    /// How long events of bookings, payments and tickets are kept, and those that are handed over
    /// again. Those of accounts and of the catalog are kept for ever, as read models are built from
    /// them.
    pub retention: Duration,
    /// How events are tried; `kept_events` means nothing here.
    pub events: Settings,
}

impl KafkaSettings {
    /// The settings for `brokers`: six partitions, one copy, a week.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            namespace: String::new(),
            partitions: 6,
            replication: 1,
            retention: RETENTION,
            events: Settings::default(),
        }
    }
}

/// What publishing and consuming share.
struct Shared {
    settings: Arc<KafkaSettings>,
    topics: Topics,
    producer: Producer,
}

pub(super) struct Kafka {
    shared: Arc<Shared>,
    offsets: Offsets,
    registered: Registered,
}

impl Kafka {
    pub(super) async fn open(settings: &KafkaSettings, tasks: &Tasks) -> Result<Self, Failure> {
        let settings = Arc::new(settings.clone());
        let topics = Topics::new(settings.clone())?;
        let plans = topics::plans(&settings);
        let made = tasks.stopping().run_until_cancelled_owned(topics.ensure(&plans)).await;
        made.unwrap_or_else(|| Err(Failure::unavailable("stopping")))?;
        let producer = Producer::new(&settings)?;
        let offsets = Offsets::new(settings.clone());
        let shared = Arc::new(Shared { settings, topics, producer });
        Ok(Self { shared, offsets, registered: Registered::default() })
    }

    pub(super) async fn publish(&self, events: &[Envelope]) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        let records: Vec<Record> = events.iter().map(Envelope::record).collect::<Result<_, _>>()?;
        let names: Vec<String> = records.iter().map(|record| self.name(&record.topic)).collect();
        let messages = records.iter().zip(&names);
        let messages = messages.map(|(record, topic)| message::message(topic, record));
        self.shared.producer.send(messages).await
    }

    pub(super) fn consume(
        &self,
        (group, urgency): (&'static str, Urgency),
        topics: &[&'static str],
        handler: Handler,
        metrics: &Metrics,
        tasks: &Tasks,
    ) {
        let mut names: Vec<_> =
            topics.iter().map(|topic| (self.name(topic), (*topic).to_owned())).collect();
        let first = topics.first().copied().unwrap_or_default().to_owned();
        names.push((topics::replays(&self.shared.settings, group), first));
        let meters = self.registered.meters(group, metrics);
        let shared = self.shared.clone();
        let consumer = Consumer { shared, group, urgency, names: names.into(), handler, meters };
        tasks.spawn(group, consumer.run(tasks.stopping()));
    }

    pub(super) async fn dead_letters(
        &self,
        group: &str,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Failure> {
        letters::list(&self.shared, group, limit).await
    }

    pub(super) async fn replay(&self, number: i64) -> Result<bool, Failure> {
        letters::replay(&self.shared, number).await
    }

    pub(super) async fn lag(&self, group: &str, topics: &[&'static str]) -> Result<u64, Failure> {
        let mut names: Vec<String> = topics.iter().map(|topic| self.name(topic)).collect();
        names.push(topics::replays(&self.shared.settings, group));
        self.offsets.lag(group, names).await
    }

    pub(super) async fn topics(&self) -> Result<Vec<TopicState>, Failure> {
        self.shared.topics.list().await
    }

    pub(super) async fn ping(&self) -> Result<(), Failure> {
        self.shared.topics.ping().await
    }

    fn name(&self, topic: &str) -> String {
        topics::name(&self.shared.settings, topic)
    }
}
