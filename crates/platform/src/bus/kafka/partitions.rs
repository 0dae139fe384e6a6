//! The partitions that a member has: what of them is at work, what is done, what is to be
//! committed. It reads no clock and does no I/O.
//!
//! Kafka has no place for events that wait. One that waits holds its partition's offset at itself,
//! while later events of other keys are handled; that they are done is told by the note beside the
//! offset.

use std::{collections::BTreeMap, sync::Arc};

use kernel::Failure;
use tokio::time::Instant;

use super::{
    member::Read,
    note::{Note, Tries},
};
use crate::bus::{
    Delivery, Settings,
    lanes::{Ended, Held, Lanes, Tried, Verdict},
};

/// Index of the topic, and number of the partition.
pub(super) type Place = (usize, i32);

/// The most events in memory; the rest waits in the log.
const MAX_HELD: usize = 2_048;
/// The most events from a partition's offset on; it is read on once the offset moves.
const MAX_SPAN: i64 = 8_192;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) place: Place,
    pub(super) offset: i64,
    /// Which of its partition's stays here.
    stay: u64,
}

pub(super) struct Partitions {
    lanes: Lanes<Origin>,
    slots: BTreeMap<Place, Slot>,
    stays: u64,
    is_full: bool,
}

/// One partition while it is here.
struct Slot {
    stay: u64,
    /// The first event that was not read.
    next: i64,
    /// The offset behind the last event that is known of.
    end: i64,
    /// What was read and is not done.
    open: BTreeMap<i64, Tries>,
    /// What the last owner left.
    note: Note,
    /// How many are being handled or buried.
    busy: usize,
    is_leaving: bool,
    is_paused: bool,
    /// What is to be committed differs from what was.
    has_changed: bool,
}

/// An event that begins to be handled.
pub(super) struct Start {
    pub(super) key: Arc<str>,
    pub(super) origin: Origin,
    pub(super) delivery: Result<Delivery, Failure>,
}

/// How handling an event ended.
pub(super) enum Finish {
    Done,
    Again,
    /// It is to be buried, and then [`Partitions::bury`] to be called.
    Dead(Origin, Box<Tried>),
    /// Its partition is another's by now.
    Gone,
}

/// What to commit of a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) place: Place,
    pub(super) offset: i64,
    pub(super) note: String,
}

impl Partitions {
    pub(super) fn new(settings: Settings) -> Self {
        let lanes = Lanes::new(settings);
        Self { lanes, slots: BTreeMap::new(), stays: 0, is_full: false }
    }

    /// A partition comes, to be read from `offset` on.
    pub(super) fn come(&mut self, place: Place, offset: i64, note: Note) {
        self.stays += 1;
        let slot = Slot {
            stay: self.stays,
            next: offset,
            end: offset,
            open: BTreeMap::new(),
            note,
            busy: 0,
            is_leaving: false,
            is_paused: false,
            has_changed: false,
        };
        self.slots.insert(place, slot);
    }

    /// Partitions are to go: no more of their events begin to be handled.
    pub(super) fn leave(&mut self, places: &[Place]) {
        for place in places {
            if let Some(slot) = self.slots.get_mut(place) {
                slot.is_leaving = true;
            }
        }
        self.lanes.forget(|origin| places.contains(&origin.place));
    }

    /// Whether nothing of partitions that are to go is at work.
    pub(super) fn are_idle(&self, places: &[Place]) -> bool {
        let mut slots = places.iter().filter_map(|place| self.slots.get(place));
        slots.all(|slot| slot.busy == 0)
    }

    /// Partitions are gone; what is still at work does not count.
    pub(super) fn go(&mut self, places: &[Place]) {
        self.slots.retain(|place, _| !places.contains(place));
    }

    /// Takes in an event that was read.
    pub(super) fn admit(&mut self, read: Read) {
        let Read { place, offset, record } = read;
        let Some(slot) = self.slots.get_mut(&place) else { return };
        if slot.is_leaving || offset < slot.next {
            return;
        }
        slot.next = offset + 1;
        slot.end = slot.end.max(slot.next);
        if slot.note.is_done(offset) {
            slot.has_changed = true;
            return;
        }
        let tries = slot.note.open.get(&offset).copied().unwrap_or_default();
        slot.open.insert(offset, tries);
        let Tries { attempts, faults } = tries;
        let tried = Tried { attempts, faults, ..Tried::new(record) };
        let origin = Origin { place, offset, stay: slot.stay };
        self.lanes.admit(Held { origin, tried });
    }

    /// The next event to handle.
    pub(super) fn next(&mut self) -> Option<Start> {
        let (key, origin, delivery) = self.lanes.next()?;
        let origin = *origin;
        if let Some(slot) = self.slots.get_mut(&origin.place) {
            slot.busy += 1;
        }
        Some(Start { key, origin, delivery })
    }

    /// Notes how handling the first event of `key` ended; `None` if it was cancelled.
    pub(super) fn finish(
        &mut self,
        key: &Arc<str>,
        result: Option<Result<(), Failure>>,
        now: Instant,
    ) -> Finish {
        let Some(origin) = self.lanes.first(key).copied() else { return Finish::Gone };
        let slot = self.slots.get_mut(&origin.place).filter(|slot| slot.stay == origin.stay);
        let Some(slot) = slot else {
            self.lanes.pass(key);
            return Finish::Gone;
        };
        let Some(result) = result else {
            slot.busy = slot.busy.saturating_sub(1);
            self.lanes.pass(key);
            return Finish::Gone;
        };
        slot.has_changed = true;
        let finish = match self.lanes.finish(key, result, now) {
            Some(Ended::Settled(held, Verdict::Dead)) => {
                return Finish::Dead(origin, Box::new(held.tried));
            }
            Some(Ended::Waits(queue)) => {
                if let (Some(held), Some(tries)) =
                    (queue.front(), slot.open.get_mut(&origin.offset))
                {
                    let Tried { attempts, faults, .. } = held.tried;
                    *tries = Tries { attempts, faults };
                }
                Finish::Again
            }
            _ => {
                slot.open.remove(&origin.offset);
                Finish::Done
            }
        };
        slot.busy = slot.busy.saturating_sub(1);
        if slot.is_leaving {
            self.lanes.forget(|other| *other == origin);
        }
        finish
    }

    /// A dead letter is where it belongs: its event counts as done.
    pub(super) fn bury(&mut self, origin: Origin) {
        let slot = self.slots.get_mut(&origin.place).filter(|slot| slot.stay == origin.stay);
        if let Some(slot) = slot {
            slot.open.remove(&origin.offset);
            slot.busy = slot.busy.saturating_sub(1);
            slot.has_changed = true;
        }
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.lanes.wake(now);
    }

    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.lanes.next_retry()
    }

    /// Whether [`Partitions::commits`] has anything.
    pub(super) fn has_changes(&self) -> bool {
        self.slots.values().any(|slot| slot.has_changed)
    }

    /// What is to be committed since the last call.
    pub(super) fn commits(&mut self) -> Vec<Commit> {
        let changed = self.slots.iter_mut().filter(|(_, slot)| slot.has_changed);
        let commits = changed.map(|(place, slot)| {
            slot.has_changed = false;
            let offset = slot.offset();
            let note = Note::text(offset, slot.next, &slot.open);
            Commit { place: *place, offset, note }
        });
        commits.collect()
    }

    /// What was to be committed, and was not.
    pub(super) fn not_committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(slot) = self.slots.get_mut(&commit.place) {
                slot.has_changed = true;
            }
        }
    }

    /// Whether there is no room for what is read next.
    pub(super) fn are_full(&self) -> bool {
        let is_wide = |slot: &Slot| !slot.is_paused && slot.is_wide();
        self.lanes.held() >= MAX_HELD || self.slots.values().any(is_wide)
    }

    /// The partitions that are not to be read for now, and those that are again, since the last
    /// call.
    pub(super) fn pauses(&mut self) -> (Vec<Place>, Vec<Place>) {
        let held = self.lanes.held();
        self.is_full = held >= if self.is_full { MAX_HELD / 2 } else { MAX_HELD };
        let (mut paused, mut resumed) = (Vec::new(), Vec::new());
        for (place, slot) in &mut self.slots {
            let pause = self.is_full || slot.is_wide();
            if pause != slot.is_paused {
                slot.is_paused = pause;
                if pause { paused.push(*place) } else { resumed.push(*place) }
            }
        }
        (paused, resumed)
    }

    /// The partitions that are here.
    pub(super) fn places(&self) -> Vec<Place> {
        self.slots.keys().copied().collect()
    }

    /// Where a partition ends.
    pub(super) fn ends(&mut self, place: Place, end: i64) {
        if let Some(slot) = self.slots.get_mut(&place) {
            slot.end = slot.end.max(end);
        }
    }

    /// How many events of the partitions that are here are not handled.
    pub(super) fn lag(&self) -> i64 {
        let lag = |slot: &Slot| {
            let open = i64::try_from(slot.open.len()).unwrap_or(i64::MAX);
            slot.end - slot.next + open
        };
        self.slots.values().map(lag).sum()
    }
}

impl Slot {
    /// Whether its offset is so far behind what was read that it is not to be read on.
    fn is_wide(&self) -> bool {
        let limit = if self.is_paused { MAX_SPAN / 2 } else { MAX_SPAN };
        self.next - self.offset() >= limit
    }

    /// All before it is done.
    fn offset(&self) -> i64 {
        self.open.keys().next().copied().unwrap_or(self.next)
    }
}
