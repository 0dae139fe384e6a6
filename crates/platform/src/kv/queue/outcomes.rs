//! What became of places, for as long as that is kept.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kernel::Timestamp;

use super::{Place, Settled};

/// What became of one member's place.
pub(in crate::kv) struct Outcome {
    pub(in crate::kv) number: u64,
    pub(in crate::kv) joined_at: Timestamp,
    pub(in crate::kv) text: Box<str>,
    pub(in crate::kv) holds_until: Timestamp,
    pub(in crate::kv) kept_until: Timestamp,
    /// Whether it is stored: until then the place is seen as claimed.
    stored: AtomicBool,
}

/// The outcomes of all lines, by the line's index.
#[derive(Default)]
pub(super) struct Outcomes {
    lines: HashMap<usize, HashMap<Arc<str>, Arc<Outcome>>>,
    ends: BTreeSet<(Timestamp, usize, Arc<str>)>,
}

impl Outcome {
    pub(super) fn new(settled: Settled, joined_at: Timestamp) -> Self {
        let Settled { number, outcome, holds_until, kept_until } = settled;
        let text = outcome.into_boxed_str();
        let stored = AtomicBool::new(false);
        Self { number, joined_at, text, holds_until, kept_until, stored }
    }

    /// Shows it to readers.
    pub(in crate::kv) fn stored(self) -> Self {
        self.show();
        self
    }

    pub(super) fn show(&self) {
        self.stored.store(true, Ordering::Release);
    }

    /// The place as a reader sees it.
    pub(super) fn seen(&self) -> Place {
        let stored = self.stored.load(Ordering::Acquire);
        let place = self.place();
        Place { outcome: place.outcome.filter(|_| stored), claimed: !stored, ..place }
    }

    /// The place, for an answer that waits until all is stored.
    pub(super) fn place(&self) -> Place {
        Place {
            number: self.number,
            joined_at: self.joined_at,
            content: String::new(),
            claimed: false,
            outcome: Some(self.text.as_ref().to_owned()),
        }
    }
}

impl Outcomes {
    pub(super) fn get(&self, line: usize, member: &str, now: Timestamp) -> Option<&Outcome> {
        let outcome = self.lines.get(&line)?.get(member)?;
        (now < outcome.kept_until).then_some(&**outcome)
    }

    pub(super) fn put(&mut self, line: usize, member: Arc<str>, outcome: Arc<Outcome>) {
        self.remove(line, &member);
        self.ends.insert((outcome.kept_until, line, member.clone()));
        self.lines.entry(line).or_default().insert(member, outcome);
    }

    /// Forgets an outcome; answers whose it was.
    pub(super) fn remove(&mut self, line: usize, member: &str) -> Option<Arc<str>> {
        let members = self.lines.get_mut(&line)?;
        let (member, outcome) = members.remove_entry(member)?;
        if members.is_empty() {
            self.lines.remove(&line);
        }
        self.ends.remove(&(outcome.kept_until, line, member.clone()));
        Some(member)
    }

    /// Forgets one outcome that need not be kept any more.
    pub(super) fn pop_ended(&mut self, now: Timestamp) -> Option<(usize, Arc<str>)> {
        let (kept_until, line, member) = self.ends.first()?.clone();
        if now < kept_until {
            return None;
        }
        self.remove(line, &member);
        Some((line, member))
    }
}
