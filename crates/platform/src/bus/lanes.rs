//! The events that a consumer holds in memory, by key: which may be handled now, and what is to be
//! tried again. It reads no clock and does no I/O.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use kernel::{Code, Failure};
use tokio::time::Instant;

use super::{Delivery, Settings, cloud_event::Record};

/// `O` says where an event comes from.
pub(super) struct Lanes<O> {
    settings: Settings,
    lanes: HashMap<Arc<str>, Lane<O>>,
    /// Keys whose first event may be handled now.
    ready: VecDeque<Arc<str>>,
    retries: BTreeSet<(Instant, Arc<str>)>,
    held: usize,
}

/// The events of one key, in order: one at a time.
struct Lane<O> {
    queue: VecDeque<Held<O>>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Ready,
    Running,
    /// The first event failed and waits to be tried again.
    Waiting,
}

pub(super) struct Held<O> {
    pub(super) origin: O,
    pub(super) tried: Tried,
}

/// An event, and how it went so far.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) record: Record,
    pub(super) attempts: u32,
    /// How many of the attempts were not only due to a part that was down.
    pub(super) faults: u32,
    /// The last error.
    pub(super) error: String,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Again,
    Dead,
}

/// How handling the first event of a key ended.
pub(super) enum Ended<'a, O> {
    /// It is done, or dead, and held no more.
    Settled(Held<O>, Verdict),
    /// It waits, first in the key's queue.
    Waits(&'a mut VecDeque<Held<O>>),
}

impl<O> Lanes<O> {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            retries: BTreeSet::new(),
            held: 0,
        }
    }

    /// Takes in an event, behind those of its key; gives it back if its key waits.
    pub(super) fn admit(&mut self, held: Held<O>) -> Option<&mut Held<O>> {
        self.held += 1;
        let key = held.tried.record.key.clone();
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| {
            self.ready.push_back(key);
            Lane { queue: VecDeque::new(), state: State::Ready }
        });
        lane.queue.push_back(held);
        lane.queue.back_mut().filter(|_| lane.state == State::Waiting)
    }

    /// The next event to handle, with its key and origin; an error if it can't be read.
    pub(super) fn next(&mut self) -> Option<(Arc<str>, &O, Result<Delivery, Failure>)> {
        let key = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&key)?;
        let Held { origin, tried } = lane.queue.front()?;
        lane.state = State::Running;
        Some((key, origin, tried.record.delivery(tried.attempts)))
    }

    /// The origin of the first event of `key`.
    pub(super) fn first(&self, key: &str) -> Option<&O> {
        Some(&self.lanes.get(key)?.queue.front()?.origin)
    }

    /// Notes how handling the first event of `key` ended.
    pub(super) fn finish(
        &mut self,
        key: &Arc<str>,
        result: Result<(), Failure>,
        now: Instant,
    ) -> Option<Ended<'_, O>> {
        let first = &mut self.lanes.get_mut(key)?.queue.front_mut()?.tried;
        let verdict = match result {
            Ok(()) => Verdict::Done,
            Err(failure) => first.fail(&failure, self.settings.max_attempts),
        };
        if verdict == Verdict::Again {
            let delay = first.delay(&self.settings);
            self.retries.insert((now + delay, key.clone()));
            let lane = self.lanes.get_mut(key)?;
            lane.state = State::Waiting;
            return Some(Ended::Waits(&mut lane.queue));
        }
        self.pass(key).map(|held| Ended::Settled(held, verdict))
    }

    /// Takes the first event of `key` out; the next one may be handled.
    pub(super) fn pass(&mut self, key: &Arc<str>) -> Option<Held<O>> {
        let lane = self.lanes.get_mut(key)?;
        let held = lane.queue.pop_front()?;
        self.held -= 1;
        if lane.queue.is_empty() {
            self.lanes.remove(key);
        } else {
            lane.state = State::Ready;
            self.ready.push_back(key.clone());
        }
        Some(held)
    }

    /// Forgets the events of these origins, but those that are being handled.
    pub(super) fn forget(&mut self, is_forgotten: impl Fn(&O) -> bool) {
        self.lanes.retain(|_, lane| {
            let first = lane.queue.front().is_some_and(|held| is_forgotten(&held.origin));
            let mut runs = lane.state == State::Running;
            lane.queue.retain(|held| std::mem::take(&mut runs) || !is_forgotten(&held.origin));
            if lane.state == State::Waiting && first {
                lane.state = State::Ready;
            }
            !lane.queue.is_empty()
        });
        let is =
            |key: &Arc<str>, state| self.lanes.get(key).is_some_and(|lane| lane.state == state);
        self.retries.retain(|(_, key)| is(key, State::Waiting));
        self.ready = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.state == State::Ready)
            .map(|(key, _)| key.clone())
            .collect();
        self.held = self.lanes.values().map(|lane| lane.queue.len()).sum();
    }

    /// Makes ready what was to be tried again by `now`.
    pub(super) fn wake(&mut self, now: Instant) {
        while self.retries.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.retries.pop_first() else { return };
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.state = State::Ready;
                self.ready.push_back(key);
            }
        }
    }

    /// When [`Lanes::wake`] has something to do.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(due, _)| *due)
    }

    /// How many events are in memory.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

impl Tried {
    /// An event that was not tried.
    pub(super) fn new(record: Record) -> Self {
        Self { record, attempts: 0, faults: 0, error: String::new() }
    }

    fn fail(&mut self, failure: &Failure, max_attempts: u32) -> Verdict {
        self.attempts = self.attempts.saturating_add(1);
        self.error = failure.to_string();
        // A part that is down says nothing of the event: it is tried for as long as it takes.
        let is_down = matches!(failure.code, Code::Unavailable | Code::Deadline);
        if !is_down {
            self.faults = self.faults.saturating_add(1);
        }
        let is_hopeless = failure.code == Code::Invalid || self.faults >= max_attempts;
        if is_hopeless { Verdict::Dead } else { Verdict::Again }
    }

    /// Doubles with each attempt; its upper half is jitter, drawn from the random bits of the id.
    fn delay(&self, settings: &Settings) -> Duration {
        let doublings = self.attempts.saturating_sub(1).min(20);
        let delay = settings.first_delay.saturating_mul(1 << doublings);
        let delay = delay.min(settings.longest_delay);
        let dice = (self.record.id.uuid().as_u128() >> (self.attempts % 48)) & 0xff;
        let jitter = 256 - u32::try_from(dice / 2).unwrap_or(0);
        delay / 256 * jitter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::tests::conformance::{event, number};

    fn held(origin: u8, key: &str, number: u32) -> Held<u8> {
        Held { origin, tried: Tried::new(event(key, number).record().unwrap()) }
    }

    #[test]
    fn what_is_forgotten_frees_its_key_but_for_what_is_being_handled() {
        let (mut lanes, now) = (Lanes::new(Settings::default()), Instant::now());
        for (origin, key, number) in [(1, "a", 1), (1, "a", 2), (2, "a", 3), (1, "b", 1)] {
            assert!(lanes.admit(held(origin, key, number)).is_none());
        }
        lanes.admit(held(2, "b", 2));
        lanes.admit(held(1, "c", 1));
        for _ in 0..2 {
            assert!(lanes.next().unwrap().2.is_ok());
        }
        lanes.finish(&"b".into(), Err(Failure::unavailable("down")), now);
        assert!(lanes.next_retry().is_some());
        lanes.forget(|origin| *origin == 1);
        // a:1 runs, a:3 is behind it; b:2 waits for nobody any more.
        assert_eq!((lanes.held(), lanes.next_retry()), (3, None));
        let (key, origin, delivery) = lanes.next().unwrap();
        assert_eq!((&*key, *origin, number(&delivery.unwrap())), ("b", 2, 2));
        assert!(lanes.next().is_none(), "not two of a key at once");
        assert_eq!(lanes.pass(&"a".into()).unwrap().origin, 1);
        assert_eq!(lanes.next().map(|(key, origin, _)| (key, *origin)), Some(("a".into(), 2)));
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let settings = Settings::default();
        let mut tried = Tried::new(event("a", 1).record().unwrap());
        for attempts in 1..60 {
            tried.attempts = attempts;
            let longest = settings.first_delay * 2_u32.pow(attempts.min(10) - 1);
            let longest = longest.min(settings.longest_delay);
            let delay = tried.delay(&settings);
            assert!(delay <= longest && delay >= longest / 2, "{attempts}: {delay:?}");
        }
    }
}
