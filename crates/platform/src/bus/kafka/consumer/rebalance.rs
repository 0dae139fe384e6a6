//! Partitions come and go, when Kafka says so: replicas of a service share them.

use kernel::Failure;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaError};
use tokio::time::Instant;

use super::{
    super::{
        client::{PATIENCE, blocking},
        member::Change,
        note::Note,
        partitions::Place,
    },
    Loop,
};
use crate::bus::consumer::DRAIN;

/// Partitions that are to go.
pub(super) struct Leaving {
    places: Vec<Place>,
    /// When what is still at work is cancelled.
    until: Instant,
    /// They are another's already: nothing can be committed.
    is_lost: bool,
    /// The last commit was begun.
    is_last: bool,
}

impl Leaving {
    /// When there is something to do though nothing happens.
    pub(super) fn next_time(&self, now: Instant) -> Instant {
        if now < self.until { self.until } else { self.until + DRAIN }
    }
}

impl Loop<'_> {
    /// Carries out what Kafka says of partitions that come and go.
    pub(super) fn change(&mut self, now: Instant) {
        match self.member.change() {
            Some(Change::Come(list)) => {
                let consumer = self.member.consumer.clone();
                let committed = move || consumer.committed_offsets(list, PATIENCE);
                self.coming = Some(Box::pin(blocking(committed)));
            }
            Some(Change::Go(list)) => {
                let places = self.consumer.places(&list);
                self.partitions.leave(&places);
                let is_lost = self.member.consumer.assignment_lost();
                // If they are another's already, that is the soonest that it can be heeded.
                let until = if is_lost { now } else { now + DRAIN };
                self.leaving = Some(Leaving { places, until, is_lost, is_last: false });
            }
            None => {}
        }
        self.leave(now);
    }

    /// Partitions come: they are read from where the group is.
    pub(super) fn come(&mut self, list: Result<TopicPartitionList, Failure>) {
        let list = match list {
            Ok(list) => list,
            Err(failure) => {
                self.consumer.warn("offsets not read", &failure);
                self.broken = Some(KafkaError::Canceled);
                return;
            }
        };
        for place in self.consumer.places(&list) {
            let Some((name, _)) = self.consumer.names.get(place.0) else { continue };
            let Some(mut found) = list.find_partition(name, place.1) else { continue };
            // The first event of a new group has an offset of 0 or more.
            let (from, note) = match found.offset() {
                Offset::Offset(from) => (from, Note::read(from, found.metadata())),
                _ => (0, Note::default()),
            };
            if !matches!(found.offset(), Offset::Offset(_)) {
                let _ = found.set_offset(Offset::Beginning);
            }
            self.partitions.come(place, from, note);
        }
        tracing::debug!(group = self.consumer.group, ?list, "partitions come");
        self.member.answer(Some(list));
        self.look_at = Instant::now();
    }

    /// Partitions go: first what is at work ends, or is cancelled, then it is committed.
    fn leave(&mut self, now: Instant) {
        let Some(Leaving { places, until, is_lost, is_last }) = &mut self.leaving else { return };
        if !self.partitions.are_idle(places) && now < *until {
            return;
        }
        let running = self.handles.iter().filter(|(from, _)| places.contains(&from.place));
        if running.clone().next().is_some() {
            // It ends when it is polled next.
            return running.for_each(|(_, handle)| handle.abort());
        }
        if !*is_lost && now < *until + DRAIN {
            if self.committing.is_some() {
                return;
            }
            if !*is_last && self.partitions.has_changes() {
                *is_last = true;
                return self.start_commit();
            }
        }
        // What is not committed will be done again.
        self.partitions.go(places);
        self.leaving = None;
        self.member.answer(None);
        self.consumer.meters.lag.set(self.partitions.lag());
    }
}
