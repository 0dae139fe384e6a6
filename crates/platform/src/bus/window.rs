//! What one consumer group holds in memory: which event may be handled now, what is to be tried
//! again, what is to be stored. It reads no clock and does no I/O.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use kernel::{Code, Failure, MessageId};
use tokio::time::Instant;

use super::{Delivery, Settings, cloud_event::Record, store::Page};

pub(super) struct Window {
    settings: Settings,
    topics: Vec<Topic>,
    lanes: HashMap<Arc<str>, Lane>,
    /// Keys whose first event may be handled now.
    ready: VecDeque<Arc<str>>,
    retries: BTreeSet<(Instant, Arc<str>)>,
    /// Events that are stored apart from the log, so that the offset may pass them.
    parked: HashSet<MessageId>,
    held: usize,
    changes: Changes,
}

struct Topic {
    name: &'static str,
    /// The number of the last event that was read.
    read: i64,
    /// The offset that was last to be stored.
    saved: i64,
    /// The number of the last event that there is.
    last: i64,
    /// Events that are neither done nor parked.
    open: BTreeSet<i64>,
}

/// The events of one key, in order: one at a time.
struct Lane {
    queue: VecDeque<Held>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Ready,
    Running,
    /// The first event failed and waits to be tried again.
    Waiting,
}

struct Held {
    /// Index of the topic, and number; none once parked.
    origin: Option<(usize, i64)>,
    tried: Tried,
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

/// What is to be stored, all or none of it.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) parked: Vec<Tried>,
    pub(super) unparked: Vec<MessageId>,
    pub(super) dead: Vec<Tried>,
    pub(super) offsets: Vec<(&'static str, i64)>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Again,
    Dead,
}

impl Window {
    pub(super) fn new(settings: Settings, topics: &[&'static str], offsets: &[i64]) -> Self {
        let topics = topics.iter().zip(offsets).map(|(name, offset)| Topic {
            name,
            read: *offset,
            saved: *offset,
            last: *offset,
            open: BTreeSet::new(),
        });
        Self {
            settings,
            topics: topics.collect(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            retries: BTreeSet::new(),
            parked: HashSet::new(),
            held: 0,
            changes: Changes::default(),
        }
    }

    /// Takes in events that are stored as parked.
    pub(super) fn admit_parked(&mut self, tried: Tried) {
        if self.parked.insert(tried.record.id) {
            self.admit(Held { origin: None, tried });
        }
    }

    /// Takes in what was read of each topic.
    pub(super) fn admit_pages(&mut self, pages: Vec<Page>) {
        for (index, page) in pages.into_iter().enumerate() {
            let Some(topic) = self.topics.get_mut(index) else { return };
            topic.last = page.last;
            for (seq, record) in page.records {
                let Some(topic) = self.topics.get_mut(index) else { return };
                topic.read = seq;
                if self.parked.contains(&record.id) {
                    continue;
                }
                topic.open.insert(seq);
                let tried = Tried { record, attempts: 0, faults: 0, error: String::new() };
                self.admit(Held { origin: Some((index, seq)), tried });
            }
        }
    }

    fn admit(&mut self, mut held: Held) {
        self.held += 1;
        let key: Arc<str> = held.tried.record.key.as_str().into();
        match self.lanes.get_mut(&key) {
            Some(lane) => {
                if lane.state == State::Waiting {
                    park(&mut held, &mut self.topics, &mut self.parked, &mut self.changes);
                }
                lane.queue.push_back(held);
            }
            None => {
                let lane = Lane { queue: VecDeque::from([held]), state: State::Ready };
                self.lanes.insert(key.clone(), lane);
                self.ready.push_back(key);
            }
        }
    }

    /// The next event to handle, with its key; an error if it can't be read.
    pub(super) fn next(&mut self) -> Option<(Arc<str>, Result<Delivery, Failure>)> {
        let key = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&key)?;
        let tried = &lane.queue.front()?.tried;
        let delivery = tried.record.delivery(tried.attempts);
        lane.state = State::Running;
        Some((key, delivery))
    }

    /// Notes how handling the first event of `key` ended.
    pub(super) fn finish(
        &mut self,
        key: &Arc<str>,
        result: Result<(), Failure>,
        now: Instant,
    ) -> Verdict {
        let Some(lane) = self.lanes.get_mut(key) else { return Verdict::Done };
        let Some(mut held) = lane.queue.pop_front() else { return Verdict::Done };
        let verdict = match result {
            Ok(()) => Verdict::Done,
            Err(failure) => held.tried.fail(&failure, self.settings.max_attempts),
        };
        if verdict == Verdict::Again {
            let delay = held.tried.delay(&self.settings);
            lane.queue.push_front(held);
            lane.state = State::Waiting;
            for (place, held) in lane.queue.iter_mut().enumerate() {
                // The first is stored anew with each attempt, those behind it once.
                if place == 0 || held.origin.is_some() {
                    park(held, &mut self.topics, &mut self.parked, &mut self.changes);
                }
            }
            self.retries.insert((now + delay, key.clone()));
            return verdict;
        }
        if lane.queue.is_empty() {
            self.lanes.remove(key);
        } else {
            lane.state = State::Ready;
            self.ready.push_back(key.clone());
        }
        self.settle(held, verdict);
        verdict
    }

    fn settle(&mut self, held: Held, verdict: Verdict) {
        self.held -= 1;
        match held.origin {
            Some((topic, seq)) => {
                if let Some(topic) = self.topics.get_mut(topic) {
                    topic.open.remove(&seq);
                }
            }
            None => {
                self.parked.remove(&held.tried.record.id);
                self.changes.unparked.push(held.tried.record.id);
            }
        }
        if verdict == Verdict::Dead {
            self.changes.dead.push(held.tried);
        }
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

    /// When [`Window::wake`] has something to do.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(due, _)| *due)
    }

    /// From where each topic is to be read on.
    pub(super) fn read_so_far(&self) -> Vec<(&'static str, i64)> {
        self.topics.iter().map(|topic| (topic.name, topic.read)).collect()
    }

    /// Whether there are events that were not read.
    pub(super) fn has_unread(&self) -> bool {
        self.topics.iter().any(|topic| topic.read < topic.last)
    }

    /// How many events are in memory.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// How many events are known of that are not handled.
    pub(super) fn lag(&self) -> i64 {
        let unread: i64 = self.topics.iter().map(|topic| (topic.last - topic.read).max(0)).sum();
        unread.saturating_add(i64::try_from(self.held).unwrap_or(i64::MAX))
    }

    /// Whether [`Window::take_changes`] has anything.
    pub(super) fn has_changes(&self) -> bool {
        let Changes { parked, unparked, dead, .. } = &self.changes;
        !(parked.is_empty() && unparked.is_empty() && dead.is_empty())
            || self.topics.iter().any(|topic| topic.offset() > topic.saved)
    }

    /// What is to be stored since the last call.
    pub(super) fn take_changes(&mut self) -> Changes {
        for topic in &mut self.topics {
            let offset = topic.offset();
            if offset > topic.saved {
                topic.saved = offset;
                self.changes.offsets.push((topic.name, offset));
            }
        }
        std::mem::take(&mut self.changes)
    }
}

impl Topic {
    /// All up to this number is done or parked.
    fn offset(&self) -> i64 {
        self.open.first().map_or(self.read, |seq| seq - 1)
    }
}

impl Tried {
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

fn park(
    held: &mut Held,
    topics: &mut [Topic],
    parked: &mut HashSet<MessageId>,
    changes: &mut Changes,
) {
    if let Some((topic, seq)) = held.origin.take() {
        if let Some(topic) = topics.get_mut(topic) {
            topic.open.remove(&seq);
        }
        parked.insert(held.tried.record.id);
    }
    changes.parked.push(held.tried.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = crate::bus::BOOKING_EVENTS;

    fn page(events: &[(i64, &str)]) -> Vec<Page> {
        let records = events.iter().map(|(seq, key)| {
            let number = u32::try_from(*seq).unwrap();
            (*seq, crate::bus::tests::conformance::event(key, number).record().unwrap())
        });
        vec![Page { last: events.last().unwrap().0, records: records.collect() }]
    }

    #[test]
    fn the_offset_passes_what_is_parked_and_stops_at_what_runs() {
        let (mut window, now) = (Window::new(Settings::default(), &[TOPIC], &[0]), Instant::now());
        window.admit_pages(page(&[(1, "a"), (2, "b"), (3, "c")]));
        let keys: Vec<_> = std::iter::from_fn(|| window.next()).map(|(key, _)| key).collect();
        assert!(!window.has_changes());
        window.finish(&keys[2], Ok(()), now);
        assert!(!window.has_changes(), "1 is at work");
        let failed = window.finish(&keys[0], Err(Failure::unavailable("down")), now);
        assert_eq!(failed, Verdict::Again);
        let changes = window.take_changes();
        assert_eq!((changes.offsets, changes.parked.len()), (vec![(TOPIC, 1)], 1));
        // What comes while its key waits is parked at once.
        window.admit_pages(page(&[(4, "a")]));
        window.finish(&keys[1], Ok(()), now);
        let changes = window.take_changes();
        assert_eq!((changes.offsets, changes.parked.len()), (vec![(TOPIC, 4)], 1));
        assert_eq!((window.lag(), window.held()), (2, 2));
        // Nothing of it is handled before its time.
        assert!(window.next().is_none());
        let due = window.next_retry().unwrap();
        assert!(due > now && due <= now + Settings::default().first_delay);
        window.wake(due);
        for _ in 0..2 {
            let (key, delivery) = window.next().unwrap();
            assert_eq!(delivery.unwrap().key, "a");
            window.finish(&key, Ok(()), due);
        }
        assert_eq!(window.take_changes().unparked.len(), 2);
        assert_eq!((window.lag(), window.has_changes()), (0, false));
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let settings = Settings::default();
        let record = crate::bus::tests::conformance::event("a", 1).record().unwrap();
        let mut tried = Tried { record, attempts: 0, faults: 0, error: String::new() };
        for attempts in 1..60 {
            tried.attempts = attempts;
            let longest = settings.first_delay * 2_u32.pow(attempts.min(10) - 1);
            let longest = longest.min(settings.longest_delay);
            let delay = tried.delay(&settings);
            assert!(delay <= longest && delay >= longest / 2, "{attempts}: {delay:?}");
        }
    }
}
