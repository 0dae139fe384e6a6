//! What becomes of places that were served, and what a line is set to.

use std::sync::Arc;

use kernel::{Failure, Timestamp};

use super::{Changes, Lines, lied};
use crate::kv::queue::{Place, Settled, outcomes::Outcome};

/// The most outcomes that are forgotten with one batch of decisions.
const FORGOTTEN_AT_ONCE: usize = 1_000;

impl Lines {
    /// The place of `member`: where it waits, or what became of it.
    pub(in crate::kv::queue) fn place(
        &self,
        line: &str,
        member: &str,
        now: Timestamp,
    ) -> Option<Place> {
        let index = *self.by_name.get(line)?;
        let line = self.lines.get(index)?;
        match line.members.get(member) {
            Some(place) if place.0.number <= line.shown.last => Some(line.place(&place.0)),
            _ => self.outcomes.get(index, member, now).map(Outcome::seen),
        }
    }

    /// The place that `member` need not take again, as a reader sees it.
    pub(in crate::kv::queue) fn held(
        &self,
        line: &str,
        member: &str,
        now: Timestamp,
    ) -> Option<Place> {
        let index = *self.by_name.get(line)?;
        let place = self.place(line, member, now)?;
        let outcome = self.outcomes.get(index, member, now);
        let holds = outcome.is_none_or(|outcome| now < outcome.holds_until);
        (holds || place.outcome.is_none()).then_some(place)
    }

    pub(in crate::kv::queue) fn settings(&self, line: &str) -> Option<String> {
        let line = self.lines.get(*self.by_name.get(line)?)?;
        (!line.settings.is_empty()).then(|| line.settings.as_ref().to_owned())
    }

    pub(in crate::kv::queue) fn configure(
        &mut self,
        line: &str,
        settings: &str,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let index = self.index_of(line);
        let line = self.lines.get_mut(index).ok_or_else(|| lied("a line is missing"))?;
        if *line.settings != *settings {
            line.settings = settings.into();
            changes.lines.insert(index, line.saved());
        }
        Ok(())
    }

    pub(in crate::kv::queue) fn settle(
        &mut self,
        line: &str,
        settled: Vec<Settled>,
        changes: &mut Changes,
    ) -> Vec<u64> {
        let Some(index) = self.by_name.get(line).copied() else { return Vec::new() };
        let Some(line) = self.lines.get_mut(index) else { return Vec::new() };
        let mut numbers = Vec::with_capacity(settled.len());
        for settled in settled {
            let number = settled.number;
            let Some(place) = line.at(number).cloned() else { continue };
            if !line.claims.contains_key(&number) || !line.remove(number) {
                continue;
            }
            let member: Arc<str> = place.member().into();
            let outcome = Arc::new(Outcome::new(settled, place.joined_at));
            self.outcomes.put(index, member.clone(), outcome.clone());
            changes.gone.insert((index, number));
            changes.outcomes.insert((index, member), Some(outcome));
            numbers.push(number);
        }
        if !numbers.is_empty() {
            self.thinned(index, changes);
        }
        numbers
    }

    /// Forgets outcomes whose time is over.
    pub(in crate::kv::queue) fn sweep(&mut self, now: Timestamp, changes: &mut Changes) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some(ended) = self.outcomes.pop_ended(now) else { return };
            changes.outcomes.insert(ended, None);
        }
    }

    pub(in crate::kv) fn restore_outcome(
        &mut self,
        index: usize,
        member: &str,
        outcome: (Settled, Timestamp),
    ) -> Result<(), Failure> {
        if index >= self.lines.len() {
            return Err(lied("an outcome has no line"));
        }
        let (settled, joined_at) = outcome;
        let outcome = Outcome::new(settled, joined_at).stored();
        self.outcomes.put(index, member.into(), Arc::new(outcome));
        Ok(())
    }
}
