//! The loop of one member of a consumer group: reads, hands events to the handler, commits how far
//! it is, and gives partitions away when Kafka says so. All that waits runs side by side in this
//! one task.

mod rebalance;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    FutureExt as _, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use kernel::Failure;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, KafkaResult},
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::rebalance::Leaving;
use super::{
    Shared,
    client::{self, blocking},
    letters::{self, Grave},
    member::{Member, Read},
    offsets,
    partitions::{Commit, Finish, Origin, Partitions, Place},
    topics,
};
use crate::bus::{
    Handler, Urgency,
    consumer::{DRAIN, MAX_RUNNING, PAUSE, handle, ready},
    lanes::Tried,
    meters::Meters,
};

/// How long it may take until an event that is done is committed as done: one request for many.
const COMMIT_DELAY: Duration = Duration::from_millis(250);
/// How often the ends of the partitions are asked for, to know the lag.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait for room before Kafka is told to hold back; that costs a fetch each time.
const HOLD: Duration = Duration::from_secs(1);
/// How long a member may take to leave its group.
const LEAVE: Duration = Duration::from_secs(5);

pub(super) struct Consumer {
    pub(super) shared: Arc<Shared>,
    pub(super) group: &'static str,
    pub(super) urgency: Urgency,
    /// The broker's and our name of each topic; the last one is that of replays.
    pub(super) names: Arc<[(String, String)]>,
    pub(super) handler: Handler,
    pub(super) meters: Meters,
}

/// None, where it was cancelled.
type Finished = (Arc<str>, Origin, Option<Result<(), Failure>>);
type Ends = Vec<(Place, i64)>;

struct Loop<'a> {
    consumer: &'a Consumer,
    member: Member,
    partitions: Partitions,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// Those that are being handled, to cancel them.
    handles: HashMap<Origin, AbortHandle>,
    burying: FuturesUnordered<BoxFuture<'static, Origin>>,
    coming: Option<BoxFuture<'static, Result<TopicPartitionList, Failure>>>,
    leaving: Option<Leaving>,
    /// What is being committed.
    committing: Option<Vec<Commit>>,
    looking: Option<BoxFuture<'static, Result<Ends, Failure>>>,
    commit_at: Option<Instant>,
    look_at: Instant,
    /// Until when nothing is read, as there is no room.
    hold_until: Option<Instant>,
    broken: Option<KafkaError>,
}

impl Consumer {
    pub(super) async fn run(self, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            let joined = stopping.run_until_cancelled(self.join()).await;
            let Some(joined) = joined else { return };
            match joined {
                Ok(member) => Loop::new(&self, member).run(&stopping).await,
                Err(failure) => self.warn("group not joined", &failure),
            }
            stopping.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }

    async fn join(&self) -> Result<Member, Failure> {
        let plan = topics::replay_plan(&self.shared.settings, self.group);
        self.shared.topics.ensure(&[plan]).await?;
        let topics: Vec<String> = self.names.iter().map(|(name, _)| name.clone()).collect();
        Member::join(&self.shared.settings, (self.group, self.urgency), &topics)
    }

    fn warn(&self, what: &str, failure: &Failure) {
        tracing::warn!(group = self.group, %failure, "{what}");
    }

    fn places(&self, list: &TopicPartitionList) -> Vec<Place> {
        let place = |topic: &str, partition| {
            let index = self.names.iter().position(|(name, _)| name == topic)?;
            Some((index, partition))
        };
        let elements = list.elements();
        elements.iter().filter_map(|found| place(found.topic(), found.partition())).collect()
    }

    fn list(&self, places: &[Place]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (index, partition) in places {
            if let Some((name, _)) = self.names.get(*index) {
                list.add_partition(name, *partition);
            }
        }
        list
    }
}

impl<'a> Loop<'a> {
    fn new(consumer: &'a Consumer, member: Member) -> Self {
        Self {
            partitions: Partitions::new(consumer.shared.settings.events),
            consumer,
            member,
            running: FuturesUnordered::new(),
            handles: HashMap::new(),
            burying: FuturesUnordered::new(),
            coming: None,
            leaving: None,
            committing: None,
            looking: None,
            commit_at: None,
            look_at: Instant::now(),
            hold_until: None,
            broken: None,
        }
    }

    async fn run(mut self, stopping: &CancellationToken) {
        let names = self.consumer.names.clone();
        while !stopping.is_cancelled() && self.broken.is_none() {
            let now = Instant::now();
            self.partitions.wake(now);
            self.end_commit();
            self.change(now);
            self.start_handlers();
            let reads = self.pause(now);
            self.start_committing(now);
            self.start_looking(now);
            let timer = self.next_time(now);
            tokio::select! {
                Some(finished) = self.running.next() => self.finish_all(finished),
                Some(origin) = self.burying.next() => self.partitions.bury(origin),
                read = self.member.read(&names), if reads => self.take(read),
                () = self.member.changed() => {}
                list = ready(&mut self.coming) => self.come(list),
                ends = ready(&mut self.looking) => self.looked(ends),
                () = sleep_until(timer) => {}
                () = stopping.cancelled() => {}
            }
        }
        self.stop().await;
    }

    fn start_handlers(&mut self) {
        while self.running.len() < MAX_RUNNING {
            let Some(start) = self.partitions.next() else { return };
            let (handle_of, registration) = AbortHandle::new_pair();
            let origin = start.origin;
            self.handles.insert(origin, handle_of);
            let handler = self.consumer.handler.clone();
            let limit = self.consumer.shared.settings.events.handler_limit;
            let handling = async move { handle(handler, start.delivery?, limit).await };
            let handling = Abortable::new(handling, registration);
            self.running.push(Box::pin(async move { (start.key, origin, handling.await.ok()) }));
        }
    }

    /// Notes all that have ended by now.
    fn finish_all(&mut self, first: Finished) {
        let mut next = Some(first);
        while let Some(finished) = next {
            self.finish(finished);
            next = self.running.next().now_or_never().flatten();
        }
        self.consumer.meters.lag.set(self.partitions.lag());
    }

    fn finish(&mut self, (key, origin, result): Finished) {
        let Consumer { group, meters, shared, .. } = self.consumer;
        let failure = result.as_ref().and_then(|result| result.as_ref().err().cloned());
        let finish = self.partitions.finish(&key, result, Instant::now());
        self.handles.remove(&origin);
        if let Some(failure) = failure {
            meters.failed.inc();
            tracing::warn!(group, %key, %failure, "event not handled");
        }
        match finish {
            Finish::Done => {
                meters.consumed.inc();
            }
            Finish::Dead(origin, tried) => {
                meters.dead_lettered.inc();
                let (index, partition) = origin.place;
                let is_replay = index + 1 == self.consumer.names.len();
                let grave = Grave { group, is_replay, partition, offset: origin.offset };
                self.burying.push(Box::pin(bury(shared.clone(), grave, tried, origin)));
            }
            Finish::Again | Finish::Gone => {}
        }
    }

    fn take(&mut self, read: KafkaResult<Vec<Read>>) {
        match read {
            Ok(read) => read.into_iter().for_each(|read| self.partitions.admit(read)),
            Err(error @ KafkaError::MessageConsumptionFatal(_)) => self.broken = Some(error),
            // The client goes on by itself.
            Err(error) => self.member.warn(&error),
        }
        self.consumer.meters.lag.set(self.partitions.lag());
    }

    /// Has Kafka send no more than there is room for; answers whether to read on.
    fn pause(&mut self, now: Instant) -> bool {
        if !self.partitions.are_full() {
            self.hold_until = None;
        } else if now < *self.hold_until.get_or_insert(now + HOLD) {
            return false;
        }
        let (paused, resumed) = self.partitions.pauses();
        let member = &self.member.consumer;
        for (places, is_paused) in [(paused, true), (resumed, false)] {
            if places.is_empty() {
                continue;
            }
            let list = self.consumer.list(&places);
            let told = if is_paused { member.pause(&list) } else { member.resume(&list) };
            if let Err(error) = told {
                self.broken = Some(error);
            }
        }
        true
    }

    fn start_committing(&mut self, now: Instant) {
        if self.committing.is_some() || !self.partitions.has_changes() {
            return;
        }
        if now >= *self.commit_at.get_or_insert(now + COMMIT_DELAY) {
            self.start_commit();
        }
    }

    fn start_commit(&mut self) {
        self.commit_at = None;
        let commits = self.partitions.commits();
        self.member.commit(self.offsets(&commits));
        self.committing = Some(commits);
    }

    fn end_commit(&mut self) {
        if let Some(result) = self.member.committed() {
            self.committed(result);
        }
    }

    fn committed(&mut self, result: KafkaResult<()>) {
        let commits = self.committing.take().unwrap_or_default();
        if let Err(error) = result {
            self.consumer.warn("progress not committed", &client::down(error));
            self.partitions.not_committed(&commits);
            self.commit_at = Some(Instant::now() + PAUSE);
        }
    }

    fn offsets(&self, commits: &[Commit]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for Commit { place: (index, partition), offset, note } in commits {
            let Some((name, _)) = self.consumer.names.get(*index) else { continue };
            let mut place = list.add_partition(name, *partition);
            let _ = place.set_offset(Offset::Offset(*offset));
            if !note.is_empty() {
                place.set_metadata(note);
            }
        }
        list
    }

    fn start_looking(&mut self, now: Instant) {
        if self.looking.is_some() || now < self.look_at {
            return;
        }
        let places = self.partitions.places();
        if places.is_empty() {
            return;
        }
        self.look_at = now + LOOK;
        let (list, consumer) = (self.consumer.list(&places), self.member.consumer.clone());
        let names = self.consumer.names.clone();
        self.looking = Some(Box::pin(blocking(move || {
            let ends = offsets::at(&*consumer, &list, Offset::End)?;
            let end = |place: Place| {
                let (name, _) = names.get(place.0)?;
                Some((place, offsets::offset(&ends, name, place.1)))
            };
            Ok(places.into_iter().filter_map(end).collect())
        })));
    }

    fn looked(&mut self, ends: Result<Ends, Failure>) {
        match ends {
            Ok(ends) => ends.into_iter().for_each(|(place, end)| self.partitions.ends(place, end)),
            Err(failure) => tracing::debug!(%failure, "ends of partitions not read"),
        }
        self.consumer.meters.lag.set(self.partitions.lag());
    }

    /// When there is something to do though nothing happens.
    fn next_time(&self, now: Instant) -> Instant {
        let commit_at = self.commit_at.filter(|_| self.committing.is_none());
        let until = self.leaving.as_ref().map(|leaving| leaving.next_time(now));
        let hold = self.hold_until.filter(|until| *until > now);
        let times = [commit_at, until, hold, self.partitions.next_retry(), Some(self.look_at)];
        times.into_iter().flatten().min().unwrap_or(now + LOOK).max(now)
    }

    /// Lets what runs end, commits how far it came, and leaves the group.
    async fn stop(mut self) {
        if let Some(error) = self.broken.take() {
            self.consumer.warn("consumer begins anew", &client::down(error));
        }
        let until = Instant::now() + DRAIN;
        while let Ok(Some(finished)) = timeout_at(until, self.running.next()).await {
            self.finish(finished);
        }
        while let Ok(Some(origin)) = timeout_at(until, self.burying.next()).await {
            self.partitions.bury(origin);
        }
        self.partitions.not_committed(&self.committing.take().unwrap_or_default());
        let commits = self.partitions.commits();
        let offsets = self.offsets(&commits);
        // What is not committed will be done again.
        let _ = timeout(LEAVE, self.member.leave(offsets)).await;
    }
}

/// Puts an event among the dead letters, however long it takes.
async fn bury(shared: Arc<Shared>, grave: Grave, tried: Box<Tried>, origin: Origin) -> Origin {
    while let Err(failure) = letters::bury(&shared, grave, &tried).await {
        tracing::warn!(group = grave.group, %failure, "dead letter not kept");
        tokio::time::sleep(PAUSE).await;
    }
    origin
}
