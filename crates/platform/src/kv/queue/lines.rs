//! The waiting queue's index: decides what happens to places, and says what is to be stored.
//! It holds no clock and does no I/O. Every operation takes O(log n) or less.

mod settling;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use kernel::{Code, Failure, Timestamp};

use super::{
    Head, Item, Place,
    outcomes::{Outcome, Outcomes},
    stored::{ByMember, Stored},
};

/// All lines. A line's index is its number in the store.
#[derive(Default)]
pub(in crate::kv) struct Lines {
    lines: Vec<Line>,
    by_name: HashMap<Arc<str>, usize>,
    /// Lines that have places, by when they were last claimed.
    turns: BTreeSet<(u64, usize)>,
    last_turn: u64,
    outcomes: Outcomes,
}

pub(in crate::kv) struct Line {
    name: Arc<str>,
    settings: Arc<str>,
    last: u64,
    serving: u64,
    turn: u64,
    /// Up to this number, each place was claimed or is gone.
    looked_at: u64,
    /// The number of the first slot of `places`.
    first: u64,
    /// Places by number; none where somebody has gone.
    places: VecDeque<Option<Arc<Stored>>>,
    members: HashSet<ByMember>,
    claims: BTreeMap<u64, Claim>,
    /// Claims by when their lease ends, until they are seen to have ended.
    leases: BTreeSet<(Timestamp, u64)>,
    /// Claims whose lease has ended.
    returned: BTreeSet<u64>,
    /// The head as it was last committed: later numbers are not to be seen yet.
    shown: Head,
}

struct Claim {
    until: Timestamp,
    attempts: u32,
}

/// What is to be stored after some decisions, all or none of it.
#[derive(Default)]
pub(in crate::kv) struct Changes {
    pub(in crate::kv) joined: Vec<(usize, Arc<Stored>)>,
    pub(in crate::kv) claimed: Vec<Claimed>,
    /// Places that are gone, also such as joined in the same batch.
    pub(in crate::kv) gone: HashSet<(usize, u64)>,
    pub(in crate::kv) lines: BTreeMap<usize, SavedLine>,
    /// By line and member; none where an outcome is forgotten.
    pub(in crate::kv) outcomes: HashMap<(usize, Arc<str>), Option<Arc<Outcome>>>,
}

pub(in crate::kv) struct Claimed {
    pub(in crate::kv) line: usize,
    pub(in crate::kv) number: u64,
    pub(in crate::kv) until: Timestamp,
    pub(in crate::kv) attempts: u32,
}

pub(in crate::kv) struct SavedLine {
    pub(in crate::kv) name: Arc<str>,
    pub(in crate::kv) last: u64,
    pub(in crate::kv) serving: u64,
    pub(in crate::kv) turn: u64,
    pub(in crate::kv) settings: Arc<str>,
}

impl Lines {
    pub(super) fn head(&self, line: &str) -> Head {
        let line = self.by_name.get(line).and_then(|index| self.lines.get(*index));
        line.map_or_else(Head::default, |line| line.shown)
    }

    pub(super) fn in_turn(&self, limit: usize) -> Vec<String> {
        let lines = self.turns.iter().filter_map(|(_, index)| self.lines.get(*index));
        lines.take(limit).map(|line| line.name.as_ref().to_owned()).collect()
    }

    pub(super) fn join(
        &mut self,
        (line, member, content): (&str, &str, &str),
        max_waiting: u64,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<(Place, bool), Failure> {
        let index = self.index_of(line);
        let Some(line) = self.lines.get_mut(index) else { return Err(lied("a line is missing")) };
        if let Some(known) = line.members.get(member) {
            return Ok((line.place(&known.0), false));
        }
        let outcome = self.outcomes.get(index, member, now);
        if let Some(held) = outcome.filter(|outcome| now < outcome.holds_until) {
            return Ok((held.place(), false));
        }
        let waiting = line.members.len() as u64;
        if waiting >= max_waiting {
            let detail = format!("{waiting} places wait, the limit is {max_waiting}");
            return Err(Failure::new(Code::Exhausted, "QUEUE_FULL", detail));
        }
        if let Some(member) = self.outcomes.remove(index, member) {
            changes.outcomes.insert((index, member), None);
        }
        line.last += 1;
        let place = Arc::new(Stored::new(line.last, now, member, content));
        line.push(place.clone());
        self.turns.insert((line.turn, index));
        let answer = line.place(&place);
        changes.joined.push((index, place));
        changes.lines.insert(index, line.saved());
        Ok((answer, true))
    }

    pub(super) fn leave(
        &mut self,
        line: &str,
        member: &str,
        changes: &mut Changes,
    ) -> Result<bool, Failure> {
        let Some((index, line)) = self.line(line) else { return Ok(false) };
        let Some(number) = line.members.get(member).map(|place| place.0.number) else {
            return Ok(false);
        };
        if line.claims.contains_key(&number) {
            let detail = format!("place {number} is being served");
            return Err(Failure::new(Code::Conflict, "PLACE_CLAIMED", detail));
        }
        line.remove(number);
        changes.gone.insert((index, number));
        self.thinned(index, changes);
        Ok(true)
    }

    /// Claims that have lapsed come first, in order, then places that were never claimed.
    pub(super) fn claim(
        &mut self,
        line: &str,
        (count, lease): (u32, Duration),
        now: Timestamp,
        changes: &mut Changes,
    ) -> Vec<Item> {
        self.last_turn += 1;
        let turn = self.last_turn;
        let Some(index) = self.by_name.get(line).copied() else { return Vec::new() };
        let Some(line) = self.lines.get_mut(index) else { return Vec::new() };
        if self.turns.remove(&(line.turn, index)) {
            self.turns.insert((turn, index));
        }
        line.turn = turn;
        let until = now.plus(lease);
        let mut items = Vec::new();
        while items.len() < count as usize {
            let Some(number) = line.next(now) else { break };
            let Some(place) = line.at(number).cloned() else { continue };
            let attempts = line.claims.get(&number).map_or(0, |claim| claim.attempts + 1);
            line.claims.insert(number, Claim { until, attempts });
            line.leases.insert((until, number));
            changes.claimed.push(Claimed { line: index, number, until, attempts });
            items.push(line.item(&place, attempts));
        }
        if !items.is_empty() {
            changes.lines.insert(index, line.saved());
        }
        items
    }

    pub(super) fn acknowledge(
        &mut self,
        line: &str,
        numbers: &[u64],
        changes: &mut Changes,
    ) -> u32 {
        let Some((index, line)) = self.line(line) else { return 0 };
        let mut removed = 0;
        for number in numbers {
            if line.claims.contains_key(number) && line.remove(*number) {
                changes.gone.insert((index, *number));
                removed += 1;
            }
        }
        self.thinned(index, changes);
        removed
    }

    /// Shows what has been committed.
    pub(super) fn committed(&mut self, changes: &Changes) {
        for index in changes.lines.keys() {
            if let Some(line) = self.lines.get_mut(*index) {
                line.shown = line.head();
            }
        }
        changes.outcomes.values().flatten().for_each(|outcome| outcome.show());
    }

    pub(in crate::kv) fn restore_line(&mut self, index: usize, line: Line) -> Result<(), Failure> {
        if index != self.lines.len() {
            return Err(lied("a line is missing"));
        }
        self.last_turn = self.last_turn.max(line.turn);
        self.by_name.insert(line.name.clone(), index);
        self.lines.push(line);
        Ok(())
    }

    /// Puts a place back; those of one line come in order of their numbers.
    pub(in crate::kv) fn restore_place(
        &mut self,
        index: usize,
        place: Stored,
        leased_until: Option<Timestamp>,
        attempts: u32,
    ) -> Result<(), Failure> {
        let line = self.lines.get_mut(index).ok_or_else(|| lied("a place has no line"))?;
        let number = place.number;
        line.push(Arc::new(place));
        if let Some(until) = leased_until {
            line.claims.insert(number, Claim { until, attempts });
            line.leases.insert((until, number));
        }
        line.shown = line.head();
        self.turns.insert((line.turn, index));
        Ok(())
    }

    /// The index of a line, which is made if there is none.
    fn index_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let (index, name): (_, Arc<str>) = (self.lines.len(), name.into());
        self.by_name.insert(name.clone(), index);
        self.lines.push(Line::restored(name, (0, 0, 0), ""));
        index
    }

    fn line(&mut self, name: &str) -> Option<(usize, &mut Line)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.lines.get_mut(index)?))
    }

    /// After places of a line have gone.
    fn thinned(&mut self, index: usize, changes: &mut Changes) {
        let Some(line) = self.lines.get_mut(index) else { return };
        if line.members.is_empty() {
            self.turns.remove(&(line.turn, index));
        }
        changes.lines.insert(index, line.saved());
    }
}

impl Line {
    /// A line with these numbers (last, serving, turn) and settings, and no places yet.
    pub(in crate::kv) fn restored(
        name: Arc<str>,
        (last, serving, turn): (u64, u64, u64),
        settings: &str,
    ) -> Self {
        Self {
            name,
            settings: settings.into(),
            last,
            serving,
            turn,
            looked_at: serving,
            first: 0,
            places: VecDeque::new(),
            members: HashSet::new(),
            claims: BTreeMap::new(),
            leases: BTreeSet::new(),
            returned: BTreeSet::new(),
            shown: Head { serving, last, waiting: 0 },
        }
    }

    fn push(&mut self, place: Arc<Stored>) {
        if self.places.is_empty() {
            self.first = place.number;
        }
        while self.first + (self.places.len() as u64) < place.number {
            self.places.push_back(None);
        }
        self.members.insert(ByMember(place.clone()));
        self.places.push_back(Some(place));
    }

    fn remove(&mut self, number: u64) -> bool {
        let slot = self.slot(number).and_then(|slot| self.places.get_mut(slot));
        let Some(place) = slot.and_then(Option::take) else { return false };
        self.members.remove(place.member());
        if let Some(claim) = self.claims.remove(&number) {
            self.leases.remove(&(claim.until, number));
            self.returned.remove(&number);
        }
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        if self.members.is_empty() {
            // The memory of a rush is given back.
            (self.members, self.places) = (HashSet::new(), VecDeque::new());
        }
        true
    }

    /// The number that is to be claimed now.
    fn next(&mut self, now: Timestamp) -> Option<u64> {
        while let Some((until, number)) = self.leases.first().copied()
            && until <= now
        {
            self.leases.pop_first();
            self.returned.insert(number);
        }
        if let Some(number) = self.returned.pop_first() {
            return Some(number);
        }
        while self.looked_at < self.last {
            self.looked_at += 1;
            if self.at(self.looked_at).is_some() {
                self.serving = self.looked_at;
                return Some(self.serving);
            }
        }
        None
    }

    fn at(&self, number: u64) -> Option<&Arc<Stored>> {
        self.places.get(self.slot(number)?)?.as_ref()
    }

    fn slot(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn head(&self) -> Head {
        let waiting = self.members.len() as u64;
        Head { serving: self.serving, last: self.last, waiting }
    }

    fn saved(&self) -> SavedLine {
        let Self { last, serving, turn, .. } = *self;
        let (name, settings) = (self.name.clone(), self.settings.clone());
        SavedLine { name, last, serving, turn, settings }
    }

    fn place(&self, place: &Stored) -> Place {
        Place {
            number: place.number,
            joined_at: place.joined_at,
            content: place.content().to_owned(),
            claimed: self.claims.contains_key(&place.number),
            outcome: None,
        }
    }

    fn item(&self, place: &Stored, attempts: u32) -> Item {
        Item {
            line: self.name.as_ref().to_owned(),
            number: place.number,
            member: place.member().to_owned(),
            content: place.content().to_owned(),
            joined_at: place.joined_at,
            attempts,
        }
    }
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.joined.is_empty()
            && self.claimed.is_empty()
            && self.gone.is_empty()
            && self.lines.is_empty()
            && self.outcomes.is_empty()
    }
}

fn lied(detail: &str) -> Failure {
    Failure::internal(format!("the waiting queue's tables: {detail}"))
}
