//! A member of a consumer group. Kafka's word that partitions come or go is answered by the
//! consumer's loop, not by the callback, so that what is being handled can end first.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use futures_util::FutureExt;
use kernel::Failure;
use rdkafka::{
    ClientContext, Message, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};
use tokio::sync::{Notify, oneshot};

use super::{
    KafkaSettings,
    client::{self, Logs, down},
    message,
};
use crate::bus::{Urgency, cloud_event::Record};

/// The most messages taken in at once.
const BATCH: usize = 256;
/// The most commits that wait: one after the one at work, and the last.
const COMMITS: usize = 2;

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
    /// How the last commit ended, until somebody asks.
    committed: Mutex<Option<KafkaResult<()>>>,
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

impl Context {
    fn end_commit(&self, result: KafkaResult<()>) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.changed.notify_one();
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

/// Commits, one after the other, until the member is dropped, and then leaves the group. A thread
/// of its own: without a broker both may take for ever, and a process that ends must not wait for
/// it.
fn commit_all(
    consumer: Arc<StreamConsumer<Context>>,
    offsets: &Receiver<TopicPartitionList>,
    leaves: oneshot::Sender<()>,
) {
    while let Ok(offsets) = offsets.recv() {
        let result = consumer.commit(&offsets, CommitMode::Sync);
        consumer.context().end_commit(result);
    }
    drop(consumer);
    drop(leaves);
}

/// A message, and where it was: index of the topic, partition, offset.
pub(super) struct Read {
    pub(super) place: (usize, i32),
    pub(super) offset: i64,
    pub(super) record: Record,
}

pub(super) struct Member {
    pub(super) consumer: Arc<StreamConsumer<Context>>,
    /// What the committing thread is to commit; it ends with this.
    commits: SyncSender<TopicPartitionList>,
    /// Resolves once that thread has ended, and the group is left.
    left: Option<oneshot::Receiver<()>>,
    /// A change that was taken, until it is answered.
    unanswered: Option<Change>,
}

impl Member {
    pub(super) fn join(
        settings: &KafkaSettings,
        (group, urgency): (&str, Urgency),
        topics: &[String],
    ) -> Result<Self, Failure> {
        let gather_ms = match urgency {
            Urgency::Soon => "30",
            Urgency::Relaxed => "100",
        };
        let mut config = client::reader(settings, &format!("{}{group}", settings.namespace));
        for (name, value) in [
            ("partition.assignment.strategy", "cooperative-sticky"),
            // A member that died gives way within ten seconds.
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "1500"),
            ("max.poll.interval.ms", "120000"),
            // Brokers spend a request's work on each answer, and each partition that is written to
            // would be an answer of its own: they gather for a moment.
            ("fetch.min.bytes", "1048576"),
            ("fetch.wait.max.ms", gather_ms),
            ("fetch.error.backoff.ms", "100"),
            // Little is fetched ahead, and what was handled makes room at once.
            ("queued.min.messages", "2000"),
            ("queued.max.messages.kbytes", "8192"),
            ("fetch.queue.backoff.ms", "10"),
        ] {
            config.set(name, value);
        }
        let consumer = StreamConsumer::from_config_and_context(&config, Context::default());
        let consumer = Arc::new(consumer.map_err(down)?);
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(down)?;
        let (commits, offsets) = sync_channel(COMMITS);
        let (leaves, left) = oneshot::channel();
        let committing = consumer.clone();
        std::thread::spawn(move || commit_all(committing, &offsets, leaves));
        Ok(Self { consumer, commits, left: Some(left), unanswered: None })
    }

    /// Begins to commit; [`Member::committed`] tells how it ended.
    pub(super) fn commit(&self, offsets: TopicPartitionList) {
        if self.commits.try_send(offsets).is_err() {
            self.consumer.context().end_commit(Err(KafkaError::Canceled));
        }
    }

    /// How the commit ended, once.
    pub(super) fn committed(&self) -> Option<KafkaResult<()>> {
        let committed = &self.consumer.context().committed;
        committed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Commits for the last time and leaves the group; ends when it has.
    pub(super) async fn leave(mut self, offsets: TopicPartitionList) {
        if offsets.count() > 0 {
            self.commit(offsets);
        }
        let left = self.left.take();
        drop(self);
        if let Some(left) = left {
            // Nothing is ever sent.
            let _ = left.await;
        }
    }

    /// Waits until [`Member::change`] or [`Member::committed`] has something.
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
    /// The group is left when the last owner of the consumer goes, which asks for partitions back.
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
