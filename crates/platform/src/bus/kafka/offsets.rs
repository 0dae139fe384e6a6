//! How far a group is: its committed offsets beside the ends of the partitions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kernel::Failure;
use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaResult,
};

use super::{
    KafkaSettings,
    client::{self, Logs, PATIENCE, blocking, down},
    note::Note,
};

impl ConsumerContext for Logs {}

/// Asks for offsets; it joins no group.
pub(super) struct Offsets {
    settings: Arc<KafkaSettings>,
    readers: Mutex<HashMap<String, Arc<BaseConsumer<Logs>>>>,
}

impl Offsets {
    pub(super) fn new(settings: Arc<KafkaSettings>) -> Self {
        Self { settings, readers: Mutex::default() }
    }

    /// How many events of the topics (as the broker calls them) a group has not handled.
    pub(super) async fn lag(&self, group: &str, topics: Vec<String>) -> Result<u64, Failure> {
        let reader = self.reader(group)?;
        let lag = blocking(move || {
            // What happened meanwhile is of no concern, but must not pile up.
            drop(reader.poll(std::time::Duration::ZERO));
            lag(&reader, &topics)
        });
        lag.await
    }

    fn reader(&self, group: &str) -> Result<Arc<BaseConsumer<Logs>>, Failure> {
        let id = format!("{}{group}", self.settings.namespace);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(&id) {
            return Ok(reader.clone());
        }
        let config = client::reader(&self.settings, &id);
        let reader = BaseConsumer::from_config_and_context(&config, Logs::default());
        let reader = Arc::new(reader.map_err(down)?);
        readers.insert(id, reader.clone());
        Ok(reader)
    }
}

fn lag(reader: &BaseConsumer<Logs>, topics: &[String]) -> KafkaResult<u64> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let metadata = reader.fetch_metadata(Some(topic), PATIENCE)?;
        let partitions = metadata.topics().iter().flat_map(|found| found.partitions());
        for partition in partitions {
            list.add_partition(topic, partition.id());
        }
    }
    if list.count() == 0 {
        return Ok(0);
    }
    let starts = at(reader, &list, Offset::Beginning)?;
    let ends = at(reader, &list, Offset::End)?;
    let committed = reader.committed_offsets(list, PATIENCE)?;
    let mut lag = 0_i64;
    for place in committed.elements() {
        let of = |list: &TopicPartitionList| offset(list, place.topic(), place.partition());
        let (start, end) = (of(&starts), of(&ends));
        let at = if let Offset::Offset(at) = place.offset() { at.max(start) } else { start };
        let note = Note::read(at, place.metadata());
        let open = note.open.range(start..).count();
        let unknown = end - note.until.max(at);
        lag += unknown.max(0) + i64::try_from(open).unwrap_or(i64::MAX);
    }
    Ok(u64::try_from(lag).unwrap_or(0))
}

/// Where each partition begins or ends.
pub(super) fn at<C: ConsumerContext>(
    reader: &impl Consumer<C>,
    list: &TopicPartitionList,
    which: Offset,
) -> KafkaResult<TopicPartitionList> {
    let mut list = list.clone();
    list.set_all_offsets(which)?;
    reader.offsets_for_times(list, PATIENCE)
}

/// The offset of one partition; 0 if there is none.
pub(super) fn offset(list: &TopicPartitionList, topic: &str, partition: i32) -> i64 {
    let found = list.find_partition(topic, partition).map(|place| place.offset());
    if let Some(Offset::Offset(offset)) = found { offset } else { 0 }
}
