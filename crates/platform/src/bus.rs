//! The event log: topics of CloudEvents 1.0 with consumer groups, delivered at least once, in
//! order per key. In this process, or on Apache Kafka.

use std::{borrow::Cow, pin::Pin, sync::Arc, time::Duration};

use kernel::{Failure, Ids, MessageId, Timestamp};
use serde::{Deserialize, Serialize};

mod cloud_event;
mod consumer;
mod kafka;
mod lanes;
mod memory;
mod meters;
mod store;
mod streams;
#[cfg(test)]
mod tests;
mod window;

use kafka::Kafka;
pub use kafka::{KafkaSettings, TopicState};
pub(crate) use memory::Followed;
use memory::Memory;

use crate::{Metrics, Tasks};

/// Facts about bookings.
pub const BOOKING_EVENTS: &str = "booking-events";
/// Facts about payments.
pub const PAYMENT_EVENTS: &str = "payment-events";
/// Facts about seats and tickets.
pub const TICKET_EVENTS: &str = "ticket-events";
/// Facts about events on sale.
pub const CATALOG_EVENTS: &str = "catalog-events";
/// Facts about accounts.
pub const ACCOUNT_EVENTS: &str = "account-events";

/// All topics.
const TOPICS: [&str; 5] =
    [BOOKING_EVENTS, PAYMENT_EVENTS, TICKET_EVENTS, CATALOG_EVENTS, ACCOUNT_EVENTS];

/// The topic of this name.
pub(crate) fn topic(name: String) -> Cow<'static, str> {
    let known = TOPICS.into_iter().find(|topic| *topic == name);
    known.map_or(Cow::Owned(name), Cow::Borrowed)
}

/// An event message: a CloudEvent with its topic and key.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The CloudEvents `id`; consumers remember it.
    pub id: MessageId,
    /// The topic it is on.
    pub topic: Cow<'static, str>,
    /// The aggregate's id: order is kept per key. The CloudEvents `subject`.
    pub key: String,
    /// `booking.confirmed`: past tense.
    pub kind: Cow<'static, str>,
    /// The service that says so. The CloudEvents `source`.
    pub source: Cow<'static, str>,
    /// When it became true.
    pub at: Timestamp,
    /// Ties it to the request that led to it.
    pub correlation_id: Arc<str>,
    /// The message of the contract's `events.proto`, as JSON text: it is made once, and handed on
    /// as it is.
    pub content: Arc<str>,
}

impl Envelope {
    /// A new message that tells `content`, a message of the contract's `events.proto`.
    ///
    /// # Errors
    /// If the content has no JSON form.
    #[expect(clippy::needless_pass_by_value, reason = "ids and texts alike are simply handed in")]
    pub fn new<T: Serialize>(
        (topic, source, kind): (&'static str, &'static str, &'static str),
        key: impl ToString,
        content: &T,
        context: &wire::Context,
        (ids, at): (&dyn Ids, Timestamp),
    ) -> Result<Self, Failure> {
        let content = serde_json::to_string(content).map_err(Failure::internal)?;
        Ok(Self {
            id: MessageId::new(ids, at),
            topic: topic.into(),
            key: key.to_string(),
            kind: kind.into(),
            source: source.into(),
            at,
            correlation_id: context.correlation_id.clone(),
            content: content.into(),
        })
    }
}

/// An event message as a consumer gets it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The CloudEvents `id`.
    pub id: MessageId,
    /// The topic.
    pub topic: Cow<'static, str>,
    /// The aggregate's id.
    pub key: Arc<str>,
    /// `booking.confirmed`.
    pub kind: Arc<str>,
    /// The service that says so.
    pub source: Arc<str>,
    /// When it became true.
    pub at: Timestamp,
    /// Ties it to the request that led to it.
    pub correlation_id: Arc<str>,
    /// The message of the contract's `events.proto`; [`Delivery::read`] reads it.
    pub content: Content,
    /// How often it was tried before; 0 the first time.
    pub attempts: u32,
}

/// The content of a delivery, as JSON text that nobody has parsed: groups that pass an event over
/// don't pay for it.
#[derive(Debug, Clone)]
pub struct Content(Form);

#[derive(Debug, Clone)]
enum Form {
    /// The message itself.
    Message(Arc<str>),
    /// The CloudEvent whose `data` the message is.
    Event(Arc<str>),
}

impl From<serde_json::Value> for Content {
    fn from(message: serde_json::Value) -> Self {
        Self(Form::Message(message.to_string().into()))
    }
}

impl Delivery {
    /// The content as the message of the contract.
    ///
    /// # Errors
    /// If it is not that message: the delivery can never succeed, and goes to the dead letters.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Failure> {
        let message = match &self.content.0 {
            Form::Message(text) => serde_json::from_str(text),
            Form::Event(text) => cloud_event::data(text),
        };
        message.map_err(|error| Failure::invalid("content", format!("{}: {error}", self.kind)))
    }

    /// The context in which service `name` acts on this event.
    #[must_use]
    pub fn context(&self, name: &str) -> wire::Context {
        wire::Context::new(kernel::Caller::Service(name.to_owned()), &self.correlation_id)
    }
}

/// What a consumer does with one event. It may be called again with the same event (after a crash,
/// a repeated publish, or when another replica takes over), also at the same time as with events of
/// other keys; never with two events of one key at once in one process. Where replicas share a
/// group, a partition that moves orderly is given away only after its events have ended or were
/// cancelled. Where a replica is taken for dead but lives, it may still be at work on an event
/// while another begins with it. The inbox makes all of this harmless. The future may be dropped
/// halfway: after [`Settings::handler_limit`], or when its partition moves.
pub type Handler = Arc<
    dyn Fn(Delivery) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync,
>;

/// How soon a group gets what is new on Kafka. A broker spends a request's work on each answer, so
/// that events which gather for a moment cost less. In this process all groups get it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Within some 30 ms: somebody waits for what it leads to.
    Soon,
    /// Within some 100 ms.
    Relaxed,
}

/// A dead letter: an event that a consumer could not handle.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Names it for [`Bus::replay`].
    pub number: i64,
    /// The consumer group.
    pub group: String,
    /// The event.
    pub delivery: Delivery,
    /// The last error.
    pub error: String,
}

/// How events are tried and kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// After how many failures an event goes to the dead letters. Failures of a part that is
    /// down (`Code::Unavailable`, `Code::Deadline`) don't count: they are tried again for ever.
    pub max_attempts: u32,
    /// The pause after the first failure; it doubles with each one that follows.
    pub first_delay: Duration,
    /// The longest pause between two tries.
    pub longest_delay: Duration,
    /// How long a handler may take.
    pub handler_limit: Duration,
    /// How many events of a topic are kept though all groups have passed them. The topics that
    /// read models are built from (accounts, catalog) are kept whole.
    pub kept_events: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(5),
            handler_limit: Duration::from_secs(60),
            kept_events: 10_000,
        }
    }
}

/// The event log. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Backend);

/// Where the log is.
#[derive(Clone)]
enum Backend {
    Memory(Arc<Memory>),
    Kafka(Arc<Kafka>),
}

impl Bus {
    /// The log in this process, kept in the SQLite database `db` so that a restart loses nothing.
    ///
    /// # Errors
    /// If its tables can't be made.
    pub async fn memory(db: db::Db, tasks: Tasks) -> Result<Self, Failure> {
        Self::memory_with(db, tasks, Settings::default()).await
    }

    /// The log in this process, with settings of its own.
    ///
    /// # Errors
    /// If its tables can't be made.
    pub async fn memory_with(
        db: db::Db,
        tasks: Tasks,
        settings: Settings,
    ) -> Result<Self, Failure> {
        Ok(Self(Backend::Memory(Memory::open(db, settings, &tasks).await?)))
    }

    /// The log on Kafka; makes the topics that are missing, and waits until they can be used.
    ///
    /// # Errors
    /// If Kafka can't be reached, or refuses the topics.
    pub async fn kafka(settings: &KafkaSettings, tasks: &Tasks) -> Result<Self, Failure> {
        Ok(Self(Backend::Kafka(Arc::new(Kafka::open(settings, tasks).await?))))
    }

    /// Appends events; they are durable once this answers, in their order by key. After a failure
    /// some may be in the log all the same. A relay may repeat itself: in this process an event
    /// whose id the log has is passed over; on Kafka it comes again, behind its first appearance,
    /// and consumers pass it over.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub async fn publish(&self, events: &[Envelope]) -> Result<(), Failure> {
        match &self.0 {
            Backend::Memory(log) => log.publish(events).await,
            Backend::Kafka(log) => log.publish(events).await,
        }
    }

    /// Has the outbox in `db` be the log of `topic` from now on, where it can be: in this process,
    /// on SQLite.
    pub(crate) fn follow(&self, topic: &'static str, db: &db::Db) -> Option<Followed> {
        match &self.0 {
            Backend::Memory(log) => Memory::follow(log, topic, db),
            Backend::Kafka(_) => None,
        }
    }

    /// Starts consuming `topics` as group `group` in tracked tasks: each event is handled at
    /// least once by the group; an error is retried with back-off, while other keys go on, and
    /// after the last try (or at once where the failure can never heal: `Code::Invalid`) the
    /// event goes to the dead letters, so that a poison message stops nobody. A new group starts
    /// at the beginning of what is kept. In this process a group is to be consumed once at a time;
    /// on Kafka any number of replicas share its work, partition by partition, and the metric
    /// `bus_lag` tells of the partitions that are this replica's.
    ///
    /// On Kafka an event that waits holds the group's place in its partition. The other keys of
    /// the partition go on, up to some thousand events from there.
    pub fn consume(
        &self,
        (group, urgency): (&'static str, Urgency),
        topics: &[&'static str],
        handler: Handler,
        metrics: &Metrics,
        tasks: &Tasks,
    ) {
        match &self.0 {
            Backend::Memory(log) => log.consume(group, topics, handler, metrics, tasks),
            Backend::Kafka(log) => log.consume((group, urgency), topics, handler, metrics, tasks),
        }
    }

    /// Events that a group could not handle, oldest first.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub async fn dead_letters(&self, group: &str, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        match &self.0 {
            Backend::Memory(log) => log.dead_letters(group, limit).await,
            Backend::Kafka(log) => log.dead_letters(group, limit).await,
        }
    }

    /// Hands a dead letter to its group again; `false` if there is none of this number.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub async fn replay(&self, number: i64) -> Result<bool, Failure> {
        match &self.0 {
            Backend::Memory(log) => log.replay(number).await,
            Backend::Kafka(log) => log.replay(number).await,
        }
    }

    /// How many events a group has not handled yet; dead letters count as handled.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub async fn lag(&self, group: &str, topics: &[&'static str]) -> Result<u64, Failure> {
        match &self.0 {
            Backend::Memory(log) => log.lag(group, topics).await,
            Backend::Kafka(log) => log.lag(group, topics).await,
        }
    }

    /// How the topics are, for an operator. Empty for the log in this process.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub async fn topics(&self) -> Result<Vec<TopicState>, Failure> {
        match &self.0 {
            Backend::Memory(_) => Ok(Vec::new()),
            Backend::Kafka(log) => log.topics().await,
        }
    }

    /// Whether the log answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), Failure> {
        match &self.0 {
            Backend::Memory(log) => log.lag("", &[]).await.map(drop),
            Backend::Kafka(log) => log.ping().await,
        }
    }
}
