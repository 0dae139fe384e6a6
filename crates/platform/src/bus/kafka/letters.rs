//! Dead letters: a compacted topic beside each topic of facts, in which a letter stands until a
//! tombstone takes it away. Its key names the group, the event, and the place in the log that the
//! event was read from: a letter written twice is one, and the tombstone of a letter that is handed
//! over again can't take away the next one, should the event fail once more at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kernel::Failure;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
    producer::FutureRecord,
    types::RDKafkaErrorCode,
};
use tokio::time::Instant;

use super::{
    KafkaSettings, Shared,
    client::{self, Logs, blocking},
    message::{self, header, with},
    offsets, topics,
};
use crate::bus::{DeadLetter, TOPICS, cloud_event::Record, lanes::Tried};

/// The most dead letters in memory while they are looked through.
const MAX_LETTERS: usize = 10_000;
/// How long reading the dead letters of a topic may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How long one wait for messages is.
const POLL: Duration = Duration::from_millis(100);
/// The longest error text, in characters.
const ERROR: usize = 2_000;

const GROUP: &str = "group";
const KEY: &str = "origin-key";
const ATTEMPTS: &str = "attempts";
const REASON: &str = "error";

/// Whose dead letter it is, and where the event was.
#[derive(Clone, Copy)]
pub(super) struct Grave {
    pub(super) group: &'static str,
    /// It was handed over again, and comes from the group's topic for that.
    pub(super) is_replay: bool,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// A dead letter as it was found.
struct Found {
    number: i64,
    millis: i64,
    group: String,
    attempts: u32,
    error: String,
    record: Record,
}

/// Puts an event that can't be handled among the dead letters of its topic.
pub(super) async fn bury(shared: &Shared, grave: Grave, tried: &Tried) -> Result<(), Failure> {
    let Tried { record, attempts, error, .. } = tried;
    let topic = topics::letters(&shared.settings, &record.topic);
    let Grave { group, is_replay, partition, offset } = grave;
    let log = if is_replay { "replay" } else { "topic" };
    let key = format!("{group}/{}/{log}-{partition}-{offset}", record.id);
    let error: String = error.chars().take(ERROR).collect();
    let headers = [
        (GROUP, group),
        (KEY, &record.key),
        (ATTEMPTS, &attempts.to_string()),
        (REASON, &error),
        ("origin-partition", &partition.to_string()),
        ("origin-offset", &offset.to_string()),
    ];
    let headers = headers
        .into_iter()
        .fold(message::headers(record.id), |all, (name, value)| with(all, name, value));
    let letter =
        FutureRecord::to(&topic).partition(0).key(&*key).payload(record.event()).headers(headers);
    shared.producer.send([letter]).await
}

/// The dead letters of a group, oldest first.
pub(super) async fn list(
    shared: &Shared,
    group: &str,
    limit: u32,
) -> Result<Vec<DeadLetter>, Failure> {
    let (settings, prefix) = (shared.settings.clone(), format!("{group}/"));
    let mut found = blocking(move || {
        let reader = Reader::open(&settings)?;
        let mut found: HashMap<String, Found> = HashMap::new();
        for index in 0..TOPICS.len() {
            reader.read(index, 0, |key, letter| {
                if !key.starts_with(&prefix) {
                    return;
                }
                match letter {
                    Some(letter) if found.len() < MAX_LETTERS || found.contains_key(key) => {
                        found.insert(key.to_owned(), letter);
                    }
                    Some(_) => {}
                    None => drop(found.remove(key)),
                }
            })?;
        }
        Ok(found.into_values().collect::<Vec<_>>())
    })
    .await?;
    found.sort_by_key(|letter| (letter.millis, letter.number));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found.into_iter().map(Found::letter).collect())
}

/// Hands a dead letter to its group again, and then takes it away: a crash in between may hand it
/// over twice, but never loses it.
pub(super) async fn replay(shared: &Shared, number: i64) -> Result<bool, Failure> {
    let settings = shared.settings.clone();
    let Some((topic, key, letter)) = blocking(move || exhume(&settings, number)).await? else {
        return Ok(false);
    };
    shared.topics.ensure(&[topics::replay_plan(&shared.settings, &letter.group)]).await?;
    let replays = topics::replays(&shared.settings, &letter.group);
    let headers = with(message::headers(letter.record.id), message::TOPIC, &letter.record.topic);
    let event = message::message(&replays, &letter.record).partition(0).headers(headers);
    shared.producer.send([event]).await?;
    let tombstone = FutureRecord::to(&topic).partition(0).key(&*key);
    shared.producer.send([tombstone]).await?;
    Ok(true)
}

/// The topic, key and content of a dead letter, if it is the last word on its event.
fn exhume(
    settings: &Arc<KafkaSettings>,
    number: i64,
) -> KafkaResult<Option<(String, String, Found)>> {
    let (Ok(index), offset) = (usize::try_from(number & 7), number >> 3) else { return Ok(None) };
    let Some(topic) = TOPICS.get(index).filter(|_| offset >= 0) else { return Ok(None) };
    let mut found: Option<(String, Found)> = None;
    let mut is_last = true;
    Reader::open(settings)?.read(index, offset, |key, letter| match &found {
        Some((known, _)) => is_last &= known != key,
        None => found = letter.filter(|l| l.number == number).map(|l| (key.to_owned(), l)),
    })?;
    let topic = topics::letters(settings, topic);
    Ok(found.filter(|_| is_last).map(|(key, letter)| (topic, key, letter)))
}

/// Reads topics of dead letters. It joins no group, and commits nothing.
struct Reader {
    settings: Arc<KafkaSettings>,
    consumer: BaseConsumer<Logs>,
}

impl Reader {
    fn open(settings: &Arc<KafkaSettings>) -> KafkaResult<Self> {
        let id = format!("{}boxoffice-dead-letters", settings.namespace);
        let mut config = client::reader(settings, &id);
        config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "50");
        let consumer = BaseConsumer::from_config_and_context(&config, Logs::default())?;
        Ok(Self { settings: settings.clone(), consumer })
    }

    /// Visits each message of a topic with its key, from `offset` on up to its end as it is now; no
    /// letter is a tombstone.
    fn read(
        &self,
        index: usize,
        offset: i64,
        mut visit: impl FnMut(&str, Option<Found>),
    ) -> KafkaResult<()> {
        let Some(topic) = TOPICS.get(index) else { return Ok(()) };
        let name = topics::letters(&self.settings, topic);
        let mut list = TopicPartitionList::new();
        list.add_partition(&name, 0);
        let of = |which| -> KafkaResult<i64> {
            let ends = offsets::at(&self.consumer, &list, which)?;
            Ok(offsets::offset(&ends, &name, 0))
        };
        let end = of(Offset::End)?;
        let from = of(Offset::Beginning)?.max(offset);
        if from >= end {
            return Ok(());
        }
        list.set_partition_offset(&name, 0, Offset::Offset(from))?;
        self.consumer.assign(&list)?;
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            let message = match self.consumer.poll(POLL) {
                None => continue,
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                // The client goes on by itself.
                Some(Err(_)) => continue,
            };
            if let Some(key) = message.key().and_then(|key| std::str::from_utf8(key).ok()) {
                visit(key, Found::read(index, &message));
            }
            if message.offset() + 1 >= end {
                return Ok(());
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }
}

impl Found {
    fn read(index: usize, message: &BorrowedMessage<'_>) -> Option<Self> {
        message.payload()?;
        let topic = TOPICS.get(index)?;
        let key = header(message, KEY).unwrap_or_default().to_owned();
        Some(Self {
            number: (message.offset() << 3) | i64::try_from(index).ok()?,
            millis: message.timestamp().to_millis().unwrap_or(0),
            group: header(message, GROUP)?.to_owned(),
            attempts: header(message, ATTEMPTS).and_then(|n| n.parse().ok()).unwrap_or(0),
            error: header(message, REASON).unwrap_or_default().to_owned(),
            record: Record { key: key.into(), ..message::record(topic, message) },
        })
    }

    fn letter(self) -> DeadLetter {
        let Self { number, group, attempts, error, record, .. } = self;
        let delivery = record.delivery(attempts).unwrap_or_else(|_| record.unreadable());
        DeadLetter { number, group, delivery, error }
    }
}
