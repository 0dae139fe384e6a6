//! The rooms of this replica: who is in them, and what they remember. Nothing in here waits.

mod state;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kernel::{Ids, Timestamp};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Room, Seq},
    frame::Frame,
};
use state::State;

/// Rooms are spread over this many locks.
const SHARDS: usize = 16;

/// What a room remembers, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most rooms.
    pub rooms: usize,
    /// The most frames of one room.
    pub frames: usize,
    /// The most bytes of one room.
    pub bytes: usize,
    /// How long a frame, or an empty room, is remembered.
    pub age: Duration,
}

/// A connection, as rooms see it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Tells connections apart.
    pub number: u64,
    /// What waits to be written to it.
    pub frames: mpsc::Sender<Frame>,
    /// Cancelled when that is too much.
    pub ended: CancellationToken,
}

/// How a connection came into a room.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The room's last message.
    pub seq: Seq,
    /// What it missed, or `None` if that is not known.
    pub missed: Option<Vec<Frame>>,
}

/// There is no room for one more room.
#[derive(Debug)]
pub(crate) struct Full;

/// All rooms of this replica.
pub(crate) struct Hub {
    shards: [Mutex<HashMap<Room, State>>; SHARDS],
    limits: Limits,
    /// The epoch of the next room; begins at random, so that no restart meets an old one again.
    epochs: AtomicU64,
    rooms: Gauge,
}

impl Member {
    /// Hands it a frame; `false` if it can't take any more.
    fn offer(&self, frame: &Frame) -> bool {
        match self.frames.try_send(frame.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.ended.cancel();
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl Hub {
    pub(crate) fn new(limits: Limits, ids: &dyn Ids, rooms: Gauge) -> Self {
        let mut random = [0; 8];
        ids.fill(&mut random);
        let epochs = AtomicU64::new(u64::from_le_bytes(random));
        Self { shards: Default::default(), limits, epochs, rooms }
    }

    /// Lets a member in, or back in; `since` is the last message it has.
    pub(crate) fn join(
        &self,
        room: Room,
        member: Member,
        since: Option<Seq>,
        now: Timestamp,
    ) -> Result<Joined, Full> {
        let mut shard = self.shard(room);
        if !shard.contains_key(&room) && shard.len() >= self.limits.rooms.div_ceil(SHARDS) {
            // What only remembers makes way for what is used.
            self.retain(&mut shard, |state| !state.members.is_empty());
            if shard.len() >= self.limits.rooms.div_ceil(SHARDS) {
                return Err(Full);
            }
        }
        let state = match shard.entry(room) {
            Entry::Occupied(state) => state.into_mut(),
            Entry::Vacant(vacant) => {
                self.rooms.inc();
                vacant.insert(State::new(self.next_epoch()))
            }
        };
        state.forget_before(now.minus(self.limits.age));
        state.members.insert(member.number, member);
        let missed = since.map_or(Some(Vec::new()), |since| state.missed(since));
        Ok(Joined { seq: state.seq(), missed })
    }

    /// Lets a member out.
    pub(crate) fn leave(&self, room: Room, number: u64, now: Timestamp) {
        if let Some(state) = self.shard(room).get_mut(&room) {
            state.members.remove(&number);
            state.left_at = now;
        }
    }

    /// Sends a message to all members of a room, whose text `write` makes for its place in the
    /// sequence. Answers how many got it; a room that nobody knows needs none.
    pub(crate) fn send(&self, room: Room, now: Timestamp, write: impl Fn(Seq) -> Frame) -> u64 {
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return 0 };
        let frame = state.next(now, &write, &self.limits);
        let before = state.members.len();
        state.members.retain(|_, member| member.offer(&frame));
        if state.members.len() < before {
            state.left_at = now;
        }
        state.members.len() as u64
    }

    /// How many are in a room.
    pub(crate) fn members(&self, room: Room) -> usize {
        self.shard(room).get(&room).map_or(0, |state| state.members.len())
    }

    /// Whether anybody is in a room, or may come back to it.
    pub(crate) fn knows(&self, room: Room) -> bool {
        self.shard(room).contains_key(&room)
    }

    /// Messages were lost on their way here: begins every room anew, and tells its members with
    /// what `write` makes.
    pub(crate) fn begin_anew(&self, now: Timestamp, write: impl Fn(Room, Seq) -> Frame) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            for (room, state) in shard.iter_mut() {
                state.begin_anew(self.next_epoch());
                let frame = write(*room, state.seq());
                state.members.retain(|_, member| member.offer(&frame));
                state.left_at = now;
            }
        }
    }

    /// Forgets what is too old.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let old = now.minus(self.limits.age);
        for shard in &self.shards {
            let mut shard = lock(shard);
            self.retain(&mut shard, |state| !state.members.is_empty() || state.left_at > old);
            shard.values_mut().for_each(|state| state.forget_before(old));
        }
    }

    fn retain(&self, shard: &mut HashMap<Room, State>, keep: impl Fn(&State) -> bool) {
        let before = shard.len();
        shard.retain(|_, state| keep(state));
        let gone = before - shard.len();
        self.rooms.dec_by(i64::try_from(gone).unwrap_or(0));
    }

    fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder by SHARDS is within SHARDS")]
    fn shard(&self, room: Room) -> MutexGuard<'_, HashMap<Room, State>> {
        lock(&self.shards[room.spread() % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use kernel::EventId;
    use testkit::SeededIds;

    use super::*;
    use crate::frame;

    /// A hub with one room, one member in it, and time in seconds.
    struct Bench {
        hub: Hub,
        room: Room,
        member: Member,
        first: Seq,
        _queue: mpsc::Receiver<Frame>,
    }

    impl Bench {
        fn new() -> Self {
            let limits =
                Limits { rooms: 1_000, frames: 4, bytes: 1_000, age: Duration::from_secs(60) };
            let hub = Hub::new(limits, &SeededIds::new(1), Gauge::default());
            let room = Room::Event(EventId::from_uuid(uuid::Uuid::from_u128(1)));
            let (frames, queue) = mpsc::channel(64);
            let member = Member { number: 1, frames, ended: CancellationToken::new() };
            let first = hub.join(room, member.clone(), None, Timestamp::EPOCH).expect("let in").seq;
            Self { hub, room, member, first, _queue: queue }
        }

        fn send(&self, at: i64, size: usize) {
            let (now, payload) = (Timestamp::from_seconds(at), format!("\"{}\"", "x".repeat(size)));
            let write = |seq| frame::of_room("a:b", self.room, seq, &payload);
            assert_eq!(self.hub.send(self.room, now, write), 1);
        }

        /// How many came after message `number`, as far as that is known.
        fn missed(&self, at: i64, number: u64) -> Option<usize> {
            let since = Some(Seq { number, ..self.first });
            let joined =
                self.hub.join(self.room, self.member.clone(), since, Timestamp::from_seconds(at));
            joined.expect("let in").missed.map(|missed| missed.len())
        }
    }

    #[test]
    fn memory_is_bounded_by_number_size_and_age() {
        let bench = Bench::new();
        (0..6).for_each(|_| bench.send(0, 1));
        assert_eq!((bench.missed(0, 1), bench.missed(0, 2)), (None, Some(4)), "by number");

        let bench = Bench::new();
        (0..3).for_each(|_| bench.send(0, 300));
        assert_eq!((bench.missed(0, 0), bench.missed(0, 1)), (None, Some(2)), "by size");
        bench.send(0, 1_000);
        assert_eq!((bench.missed(0, 3), bench.missed(0, 4)), (None, Some(0)), "too large for all");

        let bench = Bench::new();
        bench.send(0, 1);
        bench.send(10, 1);
        assert_eq!((bench.missed(60, 0), bench.missed(60, 1)), (Some(2), Some(1)));
        assert_eq!((bench.missed(61, 0), bench.missed(61, 1)), (None, Some(1)), "by age");
        bench.hub.sweep(Timestamp::from_seconds(71));
        assert_eq!(bench.missed(61, 1), None, "also while nobody comes");
    }
}
