//! What one consumer group of the log in this process holds: how far it is in each topic, which
//! events are parked, what is to be stored. It reads no clock and does no I/O.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use kernel::{Failure, MessageId};
use tokio::time::Instant;

use super::{
    Delivery, Settings,
    cloud_event::Record,
    lanes::{Ended, Held, Lanes, Tried, Verdict},
    memory::Fresh,
    streams::{Page, outbox_of},
};

pub(super) struct Window {
    streams: Vec<Stream>,
    lanes: Lanes<Origin>,
    /// Whether anything was read: only then it is known what is missing before new events.
    has_read: bool,
    /// Events that are stored apart from the log, so that the offset may pass them.
    parked: HashSet<MessageId>,
    changes: Changes,
}

/// Index of the stream, and number; none once parked.
type Origin = Option<(usize, i64)>;

struct Stream {
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

/// What is to be stored, all or none of it.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) parked: Vec<Tried>,
    pub(super) unparked: Vec<MessageId>,
    pub(super) dead: Vec<Tried>,
    pub(super) offsets: Vec<(&'static str, i64)>,
}

impl Window {
    pub(super) fn new(settings: Settings, streams: &[&'static str], offsets: &[i64]) -> Self {
        let streams = streams.iter().zip(offsets).map(|(name, offset)| Stream {
            name,
            read: *offset,
            saved: *offset,
            last: *offset,
            open: BTreeSet::new(),
        });
        Self {
            streams: streams.collect(),
            lanes: Lanes::new(settings),
            has_read: false,
            parked: HashSet::new(),
            changes: Changes::default(),
        }
    }

    /// Takes in events that are stored as parked.
    pub(super) fn admit_parked(&mut self, tried: Tried) {
        if self.parked.insert(tried.record.id) {
            self.admit(Held { origin: None, tried });
        }
    }

    /// Takes in what was read of each stream.
    pub(super) fn admit_pages(&mut self, pages: Vec<Page>) {
        self.has_read = true;
        for (index, page) in pages.into_iter().enumerate() {
            let waits = self.waits(index);
            let Some(stream) = self.streams.get_mut(index) else { return };
            if page.last < stream.read {
                tracing::warn!(
                    stream = stream.name,
                    read = stream.read,
                    last = page.last,
                    "the log ends before what was read of it, as after a backup: read anew"
                );
                (stream.read, stream.saved, stream.last) = (0, 0, page.last);
                continue;
            }
            stream.last = stream.last.max(page.last);
            if waits {
                continue;
            }
            for (seq, record) in page.records {
                self.admit_read(index, seq, record);
            }
            if let Some(stream) = self.streams.get_mut(index).filter(|_| page.is_whole) {
                stream.read = stream.read.max(page.last);
            }
        }
    }

    /// Whether a stream is the outbox of a topic of which the log's own rows, which are older, are
    /// not all read.
    fn waits(&self, index: usize) -> bool {
        let Some(stream) = self.streams.get(index) else { return false };
        let is_topic = |topic: &&Stream| outbox_of(topic.name) == Some(stream.name);
        self.streams.iter().find(is_topic).is_some_and(|topic| topic.read < topic.last)
    }

    /// Takes in new events of a stream; what is missing before them is to be read first, and shows
    /// as unread.
    pub(super) fn admit_fresh(&mut self, fresh: &Fresh) {
        let known = |stream: &Stream| stream.name == fresh.stream;
        let Some(index) = self.streams.iter().position(known) else { return };
        let records = if self.has_read && !self.waits(index) { &*fresh.records } else { &[] };
        for (seq, record) in records {
            if self.streams.get(index).is_some_and(|stream| *seq == stream.read + 1) {
                self.admit_read(index, *seq, record.clone());
            }
        }
        if let Some(stream) = self.streams.get_mut(index) {
            stream.last = stream.last.max(fresh.last);
        }
    }

    fn admit_read(&mut self, index: usize, seq: i64, record: Record) {
        // An outbox may tell of more than the group wants to know.
        let is_wanted = self.streams.iter().any(|stream| stream.name == record.topic);
        let Some(stream) = self.streams.get_mut(index).filter(|stream| stream.read < seq) else {
            return;
        };
        stream.read = seq;
        if is_wanted && !self.parked.contains(&record.id) {
            stream.open.insert(seq);
            self.admit(Held { origin: Some((index, seq)), tried: Tried::new(record) });
        }
    }

    fn admit(&mut self, held: Held<Origin>) {
        if let Some(held) = self.lanes.admit(held) {
            park(held, &mut self.streams, &mut self.parked, &mut self.changes);
        }
    }

    /// The next event to handle, with its key; an error if it can't be read.
    pub(super) fn next(&mut self) -> Option<(Arc<str>, Result<Delivery, Failure>)> {
        self.lanes.next().map(|(key, _, delivery)| (key, delivery))
    }

    /// Notes how handling the first event of `key` ended.
    pub(super) fn finish(
        &mut self,
        key: &Arc<str>,
        result: Result<(), Failure>,
        now: Instant,
    ) -> Verdict {
        match self.lanes.finish(key, result, now) {
            Some(Ended::Settled(held, verdict)) => {
                self.settle(held, verdict);
                verdict
            }
            Some(Ended::Waits(queue)) => {
                for (place, held) in queue.iter_mut().enumerate() {
                    // The first is stored anew with each attempt, those behind it once.
                    if place == 0 || held.origin.is_some() {
                        park(held, &mut self.streams, &mut self.parked, &mut self.changes);
                    }
                }
                Verdict::Again
            }
            None => Verdict::Done,
        }
    }

    fn settle(&mut self, held: Held<Origin>, verdict: Verdict) {
        match held.origin {
            Some((stream, seq)) => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.open.remove(&seq);
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
        self.lanes.wake(now);
    }

    /// When [`Window::wake`] has something to do.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.lanes.next_retry()
    }

    /// From where each stream is to be read on.
    pub(super) fn read_so_far(&self) -> Vec<(&'static str, i64)> {
        self.streams.iter().map(|stream| (stream.name, stream.read)).collect()
    }

    /// Whether there are events that were not read.
    pub(super) fn has_unread(&self) -> bool {
        self.streams.iter().any(|stream| stream.read < stream.last)
    }

    /// How many events are in memory.
    pub(super) fn held(&self) -> usize {
        self.lanes.held()
    }

    /// How many events are known of that are not handled.
    pub(super) fn lag(&self) -> i64 {
        let unread: i64 = self.streams.iter().map(|its| (its.last - its.read).max(0)).sum();
        unread.saturating_add(i64::try_from(self.held()).unwrap_or(i64::MAX))
    }

    /// Whether [`Window::take_changes`] has anything.
    pub(super) fn has_changes(&self) -> bool {
        let Changes { parked, unparked, dead, .. } = &self.changes;
        !(parked.is_empty() && unparked.is_empty() && dead.is_empty())
            || self.streams.iter().any(|stream| stream.offset() > stream.saved)
    }

    /// What is to be stored since the last call.
    pub(super) fn take_changes(&mut self) -> Changes {
        for stream in &mut self.streams {
            let offset = stream.offset();
            if offset > stream.saved {
                stream.saved = offset;
                self.changes.offsets.push((stream.name, offset));
            }
        }
        std::mem::take(&mut self.changes)
    }
}

impl Stream {
    /// All up to this number is done or parked.
    fn offset(&self) -> i64 {
        self.open.first().map_or(self.read, |seq| seq - 1)
    }
}

fn park(
    held: &mut Held<Origin>,
    streams: &mut [Stream],
    parked: &mut HashSet<MessageId>,
    changes: &mut Changes,
) {
    if let Some((stream, seq)) = held.origin.take() {
        if let Some(stream) = streams.get_mut(stream) {
            stream.open.remove(&seq);
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
        vec![Page { last: events.last().unwrap().0, records: records.collect(), is_whole: false }]
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
            assert_eq!(&*delivery.unwrap().key, "a");
            window.finish(&key, Ok(()), due);
        }
        assert_eq!(window.take_changes().unparked.len(), 2);
        assert_eq!((window.lag(), window.has_changes()), (0, false));
    }

    #[test]
    fn what_is_handed_on_is_taken_in_once_and_only_where_nothing_is_missing_before_it() {
        let mut window = Window::new(Settings::default(), &[TOPIC], &[0]);
        let fresh = |stream, seqs: &[i64]| {
            let events: Vec<_> = seqs.iter().map(|seq| (*seq, "a")).collect();
            let Page { last, records, .. } = page(&events).remove(0);
            Fresh { stream, last, records: records.into() }
        };
        // Before anything was read, nobody knows what is missing.
        window.admit_fresh(&fresh(TOPIC, &[1]));
        assert_eq!((window.held(), window.has_unread()), (0, true));
        window.admit_pages(page(&[(1, "a")]));
        window.admit_fresh(&fresh(TOPIC, &[2]));
        window.admit_fresh(&fresh("other", &[3]));
        assert_eq!((window.held(), window.has_unread()), (2, false));
        // 3 and 4 were not handed on: they are to be read, and 5 with them.
        window.admit_fresh(&fresh(TOPIC, &[5]));
        assert_eq!((window.held(), window.has_unread()), (2, true));
        assert_eq!(window.read_so_far(), [(TOPIC, 2)]);
        window.admit_pages(page(&[(3, "a"), (4, "a"), (5, "a")]));
        assert_eq!((window.held(), window.has_unread()), (5, false));
        // What was read is not taken in again, whichever way it comes.
        window.admit_fresh(&fresh(TOPIC, &[4, 5, 6]));
        window.admit_pages(page(&[(5, "a"), (6, "a"), (7, "a")]));
        assert_eq!((window.held(), window.has_unread()), (7, false));
        let numbers = std::iter::from_fn(|| {
            let (key, delivery) = window.next()?;
            window.finish(&key, Ok(()), Instant::now());
            Some(crate::bus::tests::conformance::number(&delivery.unwrap()))
        });
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn where_the_log_ends_before_what_was_read_of_it_all_is_read_anew() {
        let mut window = Window::new(Settings::default(), &[TOPIC], &[5_000]);
        let (key, now): (Arc<str>, _) = ("a".into(), Instant::now());
        window.admit_pages(vec![Page { last: 3, records: Vec::new(), is_whole: true }]);
        assert_eq!((window.read_so_far(), window.has_unread()), (vec![(TOPIC, 0)], true));
        window.admit_pages(page(&[(1, "a"), (2, "a"), (3, "a")]));
        while window.next().is_some() {
            window.finish(&key, Ok(()), now);
        }
        assert_eq!(window.take_changes().offsets, [(TOPIC, 3)]);
    }

    #[test]
    fn an_outbox_waits_until_the_older_rows_of_its_topic_are_read() {
        let outbox = outbox_of(TOPIC).unwrap();
        let mut window = Window::new(Settings::default(), &[TOPIC, outbox], &[0, 0]);
        let pages = |own: &[(i64, &str)], last, its: &[(i64, &str)]| {
            let own = Page { last, is_whole: false, ..page(own).remove(0) };
            vec![own, Page { is_whole: true, ..page(its).remove(0) }]
        };
        window.admit_pages(pages(&[(1, "a"), (2, "a")], 3, &[(1, "a")]));
        assert_eq!(window.read_so_far(), [(TOPIC, 2), (outbox, 0)]);
        let records = page(&[(1, "a")]).remove(0).records.into();
        window.admit_fresh(&Fresh { stream: outbox, last: 1, records });
        assert_eq!((window.held(), window.has_unread()), (2, true));
        window.admit_pages(pages(&[(3, "a")], 3, &[(1, "a")]));
        assert_eq!((window.read_so_far(), window.held()), (vec![(TOPIC, 3), (outbox, 1)], 4));
    }
}
