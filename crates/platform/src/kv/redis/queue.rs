//! The waiting queue that all processes share: each operation is one script over one line's keys.
//! What a line's keys are stands in `queue/line.lua`.

use std::{fmt::Display, sync::Arc, time::Duration};

use kernel::{Code, Failure, Timestamp};
use redis::{Cmd, FromRedisValue, cmd};

use super::link::{AGAIN, Link, ONCE, Patience, Script};
use crate::kv::queue::{Head, Item, Place, Settled};

/// A script that begins with what all scripts of a line share.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("queue/line.lua"), include_str!($file)))
    };
}

#[derive(Clone)]
pub(in crate::kv) struct Queue(Arc<Inner>);

struct Inner {
    link: Link,
    /// What every key begins with.
    prefix: String,
    turns: String,
    join: Script,
    place: Script,
    leave: Script,
    claim: Script,
    acknowledge: Script,
    settle: Script,
    head: Script,
}

/// The kinds of answers of `join.lua` and `place.lua`.
const FULL: i8 = -1;
const NEW: i8 = 1;
const OUTCOME: i8 = 2;

impl Queue {
    pub(super) fn new(link: Link, namespace: &str) -> Self {
        let prefix = format!("{namespace}queue:");
        Self(Arc::new(Inner {
            link,
            turns: format!("{prefix}turns"),
            prefix,
            join: script!("queue/join.lua"),
            place: script!("queue/place.lua"),
            leave: script!("queue/leave.lua"),
            claim: script!("queue/claim.lua"),
            acknowledge: script!("queue/acknowledge.lua"),
            settle: script!("queue/settle.lua"),
            head: script!("queue/head.lua"),
        }))
    }

    /// Repeated when its answer is lost: the place it then finds is told to be known.
    pub(in crate::kv) async fn join(
        &self,
        line: &str,
        (member, content): (&str, &str),
        max_waiting: u64,
    ) -> Result<(Place, bool), Failure> {
        let mut call = self.call(&self.0.join, line);
        call.arg(member).arg(content).arg(max_waiting);
        let (kind, text): (i8, String) = self.run((&self.0.join, &call), AGAIN).await?;
        if kind == FULL {
            let detail = format!("{text} places wait, the limit is {max_waiting}");
            return Err(Failure::new(Code::Exhausted, "QUEUE_FULL", detail));
        }
        Ok((place(kind, &text)?, kind == NEW))
    }

    pub(in crate::kv) async fn place(
        &self,
        line: &str,
        member: &str,
    ) -> Result<Option<Place>, Failure> {
        let mut call = self.call(&self.0.place, line);
        call.arg(member);
        let found: Option<(i8, String)> = self.run((&self.0.place, &call), AGAIN).await?;
        found.map(|(kind, text)| place(kind, &text)).transpose()
    }

    pub(in crate::kv) async fn leave(&self, line: &str, member: &str) -> Result<bool, Failure> {
        let mut call = self.call(&self.0.leave, line);
        call.arg(member);
        let left: i64 = self.run((&self.0.leave, &call), ONCE).await?;
        if left < 0 {
            let detail = format!("place {} is being served", left.unsigned_abs());
            return Err(Failure::new(Code::Conflict, "PLACE_CLAIMED", detail));
        }
        Ok(left == 1)
    }

    pub(in crate::kv) async fn claim(
        &self,
        line: &str,
        count: u32,
        lease: Duration,
    ) -> Result<Vec<Item>, Failure> {
        let mut call = self.call(&self.0.claim, line);
        call.arg(count).arg(u64::try_from(lease.as_micros()).unwrap_or(u64::MAX));
        let items: Vec<(u64, String, String)> = self.run((&self.0.claim, &call), ONCE).await?;
        let item = |(number, member, text): (u64, String, String)| {
            let [attempts, _, joined_at, content] = fields(&text)?;
            Ok(Item {
                line: line.to_owned(),
                number,
                member,
                content: content.to_owned(),
                joined_at: time(joined_at)?,
                attempts: attempts.parse().map_err(lied)?,
            })
        };
        items.into_iter().map(item).collect()
    }

    pub(in crate::kv) async fn acknowledge(
        &self,
        line: &str,
        numbers: &[u64],
    ) -> Result<u32, Failure> {
        let mut call = self.call(&self.0.acknowledge, line);
        call.arg(numbers);
        self.run((&self.0.acknowledge, &call), ONCE).await
    }

    pub(in crate::kv) async fn settle(
        &self,
        line: &str,
        settled: &[Settled],
    ) -> Result<Vec<u64>, Failure> {
        let mut call = self.call(&self.0.settle, line);
        for Settled { number, outcome, holds_until, kept_until } in settled {
            call.arg(*number).arg(holds_until.micros()).arg(kept_until.micros()).arg(outcome);
        }
        self.run((&self.0.settle, &call), ONCE).await
    }

    pub(in crate::kv) async fn configure(&self, line: &str, settings: &str) -> Result<(), Failure> {
        let mut ask = cmd("HSET");
        ask.arg(self.head_key(line)).arg("settings").arg(settings);
        self.0.link.ask(&ask, AGAIN).await
    }

    pub(in crate::kv) async fn settings(&self, line: &str) -> Result<Option<String>, Failure> {
        let mut ask = cmd("HGET");
        ask.arg(self.head_key(line)).arg("settings");
        let settings: Option<String> = self.0.link.ask(&ask, AGAIN).await?;
        Ok(settings.filter(|settings| !settings.is_empty()))
    }

    pub(in crate::kv) async fn head(&self, line: &str) -> Result<Head, Failure> {
        let call = self.call(&self.0.head, line);
        let (serving, last, waiting) = self.run((&self.0.head, &call), AGAIN).await?;
        Ok(Head { serving, last, waiting })
    }

    pub(in crate::kv) async fn lines(&self, limit: u32) -> Result<Vec<String>, Failure> {
        let mut ask = cmd("ZRANGE");
        // By score from the lowest, at most `limit`.
        ask.arg(&self.0.turns).arg("-inf").arg("+inf").arg("BYSCORE");
        ask.arg("LIMIT").arg(0).arg(limit);
        self.0.link.ask(&ask, AGAIN).await
    }

    /// A call of a script on a line. The braces have a cluster keep a line's keys together.
    fn call(&self, script: &Script, line: &str) -> Cmd {
        let mut call = script.call(&[&self.line_key(line), &self.0.turns]);
        call.arg(line);
        call
    }

    async fn run<T: FromRedisValue>(
        &self,
        run: (&Script, &Cmd),
        patience: Patience,
    ) -> Result<T, Failure> {
        self.0.link.run(run, patience).await
    }

    fn line_key(&self, line: &str) -> String {
        format!("{}{{{line}}}:", self.0.prefix)
    }

    fn head_key(&self, line: &str) -> String {
        format!("{}head", self.line_key(line))
    }
}

/// A place or an outcome, as the scripts write it.
fn place(kind: i8, text: &str) -> Result<Place, Failure> {
    if kind == OUTCOME {
        let [number, joined_at, _, _, outcome] = fields(text)?;
        return Ok(Place {
            number: number.parse().map_err(lied)?,
            joined_at: time(joined_at)?,
            content: String::new(),
            claimed: false,
            outcome: Some(outcome.to_owned()),
        });
    }
    let [claims, number, joined_at, content] = fields(text)?;
    Ok(Place {
        number: number.parse().map_err(lied)?,
        joined_at: time(joined_at)?,
        content: content.to_owned(),
        claimed: claims != "0",
        outcome: None,
    })
}

/// The fields of a text, of which the last may have any content.
fn fields<const COUNT: usize>(text: &str) -> Result<[&str; COUNT], Failure> {
    let fields: Vec<&str> = text.splitn(COUNT, ':').collect();
    fields.try_into().map_err(|_| lied("a field is missing"))
}

fn time(micros: &str) -> Result<Timestamp, Failure> {
    micros.parse().map(Timestamp::from_micros).map_err(lied)
}

fn lied(detail: impl Display) -> Failure {
    Failure::internal(format!("the waiting queue's keys: {detail}"))
}
