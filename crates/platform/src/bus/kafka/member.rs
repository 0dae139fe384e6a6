//! A member of a consumer group. Kafka's word that partitions come or go is answered by the
//! consumer's loop, not by the callback, so that what is being handled can end first.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt;
use kernel::Failure;
use rdkafka::{
    ClientContext, Message, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};
use tokio::sync::Notify;

use super::{
    KafkaSettings,
    client::{self, Logs, down},
    message,
};
use crate::bus::cloud_event::Record;

/// The most messages taken in at once.
const BATCH: usize = 256;

/// A word that waits for its answer.
#[derive(Clone)]
pub(super) enum Change {
    Come(TopicPartitionList),
    Go(TopicPartitionList),
}

#[derive(Default)]
pub(super) struct Context {
    logs: Logs,
    changes: Mutex<VecDeque<Change>>,
    changed: Notify,
    /// Nobody is there to answer any more.
    is_closing: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.logs.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logs.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        word: RDKafkaRespErr,
        places: &mut TopicPartitionList,
    ) {
        let change = match word {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Come(places.clone()),
            _ => Change::Go(places.clone()),
        };
        if self.is_closing.load(Ordering::SeqCst) {
            return answer(consumer, &change);
        }
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push_back(change);
        self.changed.notify_one();
    }
}

/// Tells Kafka that a change is carried out.
fn answer<C: ConsumerContext>(consumer: &impl Consumer<C>, change: &Change) {
    let answered = match change {
        Change::Come(places) => consumer.incremental_assign(places),
        Change::Go(places) => consumer.incremental_unassign(places),
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "rebalance not answered");
    }
}

/// A message, and where it was: index of the topic, partition, offset.
pub(super) struct Read {
    pub(super) place: (usize, i32),
    pub(super) offset: i64,
    pub(super) record: Record,
}

pub(super) struct Member {
    pub(super) consumer: Arc<StreamConsumer<Context>>,
    /// A change that was taken, until it is answered.
    unanswered: Option<Change>,
}

impl Member {
    pub(super) fn join(
        settings: &KafkaSettings,
        group: &str,
        topics: &[String],
    ) -> Result<Self, Failure> {
        let mut config = client::reader(settings, &format!("{}{group}", settings.namespace));
        for (name, value) in [
            ("partition.assignment.strategy", "cooperative-sticky"),
            // A member that died gives way within ten seconds.
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "1500"),
            ("max.poll.interval.ms", "120000"),
            ("fetch.wait.max.ms", "500"),
            ("fetch.error.backoff.ms", "100"),
            // Little is fetched ahead, and what was handled makes room at once.
            ("queued.min.messages", "2000"),
            ("queued.max.messages.kbytes", "8192"),
            ("fetch.queue.backoff.ms", "10"),
        ] {
            config.set(name, value);
        }
        let consumer = StreamConsumer::from_config_and_context(&config, Context::default());
        let member = Self { consumer: Arc::new(consumer.map_err(down)?), unanswered: None };
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        member.consumer.subscribe(&topics).map_err(down)?;
        Ok(member)
    }

    /// Waits until [`Member::change`] has something.
    pub(super) async fn changed(&self) {
        self.consumer.context().changed.notified().await;
    }

    /// The next change, one at a time: none before the last one is answered.
    pub(super) fn change(&mut self) -> Option<Change> {
        if self.unanswered.is_some() {
            return None;
        }
        let context = self.consumer.context();
        let next = context.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        self.unanswered = Some(next?);
        self.unanswered.clone()
    }

    /// Tells Kafka that the change is carried out; partitions that come are read from the offsets
    /// of `places`.
    pub(super) fn answer(&mut self, places: Option<TopicPartitionList>) {
        let Some(change) = self.unanswered.take() else { return };
        let change = match (change, places) {
            (Change::Come(_), Some(places)) => Change::Come(places),
            (change, _) => change,
        };
        answer(&*self.consumer, &change);
    }

    /// Logs that the client is in trouble.
    pub(super) fn warn(&self, error: &KafkaError) {
        self.consumer.context().logs.warn("consumer", &error.to_string());
    }

    /// The next messages, of the topics that `names` tells the broker's and our names of. Nothing
    /// is lost where it is cancelled.
    pub(super) async fn read(&self, names: &[(String, String)]) -> KafkaResult<Vec<Read>> {
        let mut read = Vec::new();
        let mut next = Some(self.consumer.recv().await);
        while let Some(message) = next {
            match message {
                Ok(message) => read.extend(taken(&message, names)),
                Err(error) if read.is_empty() => return Err(error),
                Err(error) => {
                    self.warn(&error);
                    break;
                }
            }
            if read.len() >= BATCH {
                break;
            }
            next = self.consumer.recv().now_or_never();
        }
        Ok(read)
    }
}

fn taken(message: &impl Message, names: &[(String, String)]) -> Option<Read> {
    let index = names.iter().position(|(name, _)| name == message.topic())?;
    let (_, topic) = names.get(index)?;
    Some(Read {
        place: (index, message.partition()),
        offset: message.offset(),
        record: message::record(topic, message),
    })
}

impl Drop for Member {
    /// The consumer leaves its group when its last owner goes; that asks for partitions back.
    fn drop(&mut self) {
        self.consumer.context().is_closing.store(true, Ordering::SeqCst);
        self.answer(None);
        let context = self.consumer.context();
        let changes =
            std::mem::take(&mut *context.changes.lock().unwrap_or_else(PoisonError::into_inner));
        for change in changes {
            answer(&*self.consumer, &change);
        }
    }
}
