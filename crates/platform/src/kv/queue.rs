//! The waiting queue: numbered places in lines, claimed in order, acknowledged when done.

pub(super) mod lines;
mod memory;
pub(super) mod outcomes;
pub(super) mod stored;

use std::{sync::Arc, time::Duration};

use kernel::{Clock, Failure, Timestamp};

use super::redis::queue as redis;
use memory::Memory;

/// The longest name of a line or member, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The longest content of a place, outcome, or settings of a line, in bytes.
const MAX_CONTENT_BYTES: usize = 4_096;

/// The waiting queue: any number of lines (one an event), each with numbered places. Cheap to
/// clone.
#[derive(Clone)]
pub struct Queue(Backend);

#[derive(Clone)]
enum Backend {
    Memory(Memory),
    Redis(redis::Queue),
}

/// A member's place in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The place's number, from 1; grows by one with each that joins.
    pub number: u64,
    /// When it was taken.
    pub joined_at: Timestamp,
    /// What the member left with it when joining; empty once it is settled.
    pub content: String,
    /// Whether it has been claimed and waits for its acknowledgement.
    pub claimed: bool,
    /// What became of it, once it is settled.
    pub outcome: Option<String>,
}

/// What becomes of a claimed place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The place's number.
    pub number: u64,
    /// What its member is to be told.
    pub outcome: String,
    /// Until then the member can't take another place in this line.
    pub holds_until: Timestamp,
    /// Until then the outcome can be read.
    pub kept_until: Timestamp,
}

/// The head of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// All up to this number have been claimed at least once: position = number - serving.
    pub serving: u64,
    /// The last number given out.
    pub last: u64,
    /// How many places wait or are claimed.
    pub waiting: u64,
}

/// A claimed place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The line.
    pub line: String,
    /// The place's number.
    pub number: u64,
    /// Whose place it is.
    pub member: String,
    /// What the member left with it when joining.
    pub content: String,
    /// When it was taken.
    pub joined_at: Timestamp,
    /// How often it was claimed before.
    pub attempts: u32,
}

impl Queue {
    pub(super) async fn memory(db: db::Db, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Ok(Self(Backend::Memory(Memory::open(db, clock).await?)))
    }

    pub(super) const fn redis(queue: redis::Queue) -> Self {
        Self(Backend::Redis(queue))
    }

    /// Takes a place at the end of `line`, or finds the one that `member` has, be it one that is
    /// settled and holds: one place per member and line. Durable once it answers. The flag says
    /// whether the place is new; it may not say so where a first answer was lost on the way.
    ///
    /// # Errors
    /// `QUEUE_FULL` over `max_waiting` places; a name or content that is too long; or the store
    /// can't be reached.
    pub async fn join(
        &self,
        line: &str,
        member: &str,
        content: &str,
        max_waiting: u64,
    ) -> Result<(Place, bool), Failure> {
        check("line", line, MAX_NAME_BYTES)?;
        check("member", member, MAX_NAME_BYTES)?;
        check("content", content, MAX_CONTENT_BYTES)?;
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => {
                return redis.join(line, (member, content), max_waiting).await;
            }
        };
        if let Some(place) = memory.lines().held(line, member, memory.now()) {
            return Ok((place, false));
        }
        let [line, member, content] = [line, member, content].map(str::to_owned);
        memory
            .ask(move |on| {
                on.lines.join((&line, &member, &content), max_waiting, on.now, on.changes)
            })
            .await
    }

    /// The place of `member` in `line`, or what became of it while that is kept.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn place(&self, line: &str, member: &str) -> Result<Option<Place>, Failure> {
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.place(line, member).await,
        };
        Ok(memory.lines().place(line, member, memory.now()))
    }

    /// Gives the place of `member` up; `false` if there is none.
    ///
    /// # Errors
    /// `PLACE_CLAIMED` if it has been claimed; or the store can't be reached.
    pub async fn leave(&self, line: &str, member: &str) -> Result<bool, Failure> {
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.leave(line, member).await,
        };
        let [line, member] = [line, member].map(str::to_owned);
        memory.ask(move |on| on.lines.leave(&line, &member, on.changes)).await
    }

    /// Claims up to `count` places at the head of `line`, in order, for `lease`: a claim that is
    /// not acknowledged in time is handed out again, before newer places.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn claim(
        &self,
        line: &str,
        count: u32,
        lease: Duration,
    ) -> Result<Vec<Item>, Failure> {
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.claim(line, count, lease).await,
        };
        let line = line.to_owned();
        memory.ask(move |on| Ok(on.lines.claim(&line, (count, lease), on.now, on.changes))).await
    }

    /// Removes claimed places that are done; those that are gone are passed over. Answers how
    /// many were removed.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn acknowledge(&self, line: &str, numbers: &[u64]) -> Result<u32, Failure> {
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.acknowledge(line, numbers).await,
        };
        let (line, numbers) = (line.to_owned(), numbers.to_vec());
        memory.ask(move |on| Ok(on.lines.acknowledge(&line, &numbers, on.changes))).await
    }

    /// Removes claimed places that are done, and keeps what became of them: both or neither.
    /// Those that are gone are passed over. Answers the numbers that were settled by this call.
    ///
    /// # Errors
    /// An outcome that is too long; or the store can't be reached.
    pub async fn settle(&self, line: &str, settled: Vec<Settled>) -> Result<Vec<u64>, Failure> {
        for settled in &settled {
            check("outcome", &settled.outcome, MAX_CONTENT_BYTES)?;
        }
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.settle(line, &settled).await,
        };
        let line = line.to_owned();
        memory.ask(move |on| Ok(on.lines.settle(&line, settled, on.changes))).await
    }

    /// Sets what a line goes by, which outlives its places. Durable once it answers.
    ///
    /// # Errors
    /// A name or settings that are too long; or the store can't be reached.
    pub async fn configure(&self, line: &str, settings: &str) -> Result<(), Failure> {
        check("line", line, MAX_NAME_BYTES)?;
        check("settings", settings, MAX_CONTENT_BYTES)?;
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.configure(line, settings).await,
        };
        let [line, settings] = [line, settings].map(str::to_owned);
        memory.ask(move |on| on.lines.configure(&line, &settings, on.changes)).await
    }

    /// What a line goes by, if it was ever set.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn settings(&self, line: &str) -> Result<Option<String>, Failure> {
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.settings(line).await,
        };
        Ok(memory.lines().settings(line))
    }

    /// The head of `line`.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn head(&self, line: &str) -> Result<Head, Failure> {
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.head(line).await,
        };
        Ok(memory.lines().head(line))
    }

    /// Lines that have places, least recently claimed first, so that no line starves.
    ///
    /// # Errors
    /// If the store can't be reached.
    pub async fn lines(&self, limit: u32) -> Result<Vec<String>, Failure> {
        let memory = match &self.0 {
            Backend::Memory(memory) => memory,
            Backend::Redis(redis) => return redis.lines(limit).await,
        };
        Ok(memory.lines().in_turn(limit as usize))
    }
}

fn check(field: &str, text: &str, limit: usize) -> Result<(), Failure> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{} bytes, the limit is {limit}", text.len())))
}
