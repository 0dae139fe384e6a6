//! One event in memory: its inventory, its seat map, and what was last said about its availability.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use db::Db;
use kernel::{SeatRef, Timestamp};
use tokio::sync::Notify;

use crate::{
    domain::{
        choose::Best,
        plan::Spot,
        seatmap::{Change, SeatMap, State},
    },
    error::Error,
    store::{
        inventories::{self, Inventory, Tally},
        sections::{self, Counts},
    },
};

/// Changes that may wait for one that is missing, before the map is read anew.
const MAX_WAITING: usize = 256;

/// One event in memory.
pub(crate) struct Room {
    /// What may be sold; never changes.
    pub(crate) inventory: Inventory,
    state: Mutex<Inner>,
    /// Held while the map or the counters are read, so that one reads for all.
    reading: tokio::sync::Mutex<()>,
    /// Told when a write of this process was decided.
    settled: Notify,
}

struct Inner {
    map: Option<SeatMap>,
    /// The version up to which the map has every change.
    version: i64,
    /// Changes that came before one they follow.
    waiting: BTreeMap<i64, Arc<Change>>,
    /// Whether the map is being read; changes are then kept for the new one.
    loading: bool,
    /// What is left, as of the newest version heard of.
    newest: Tally,
    /// Writes of this process that are being decided.
    writing: usize,
    counters: Option<(Timestamp, Arc<Counters>)>,
    seats: Option<Arc<Seats>>,
}

/// Counters of all sections, as of a version.
#[derive(Debug)]
pub struct Counters {
    /// The version.
    pub tally: Tally,
    /// The version that the map must have at least: the one read the time before, if that was
    /// lately.
    before: i64,
    /// Section by section.
    pub sections: Vec<Counts>,
}

/// Names of all seats that are not free, as of a version.
#[derive(Debug)]
pub struct Seats {
    /// The version.
    pub version: i64,
    /// Seats that are held.
    pub held: Vec<SeatRef>,
    /// Seats that are sold.
    pub sold: Vec<SeatRef>,
}

impl Room {
    pub(super) fn new(inventory: Inventory, tally: Tally) -> Self {
        let state = Inner {
            map: None,
            version: 0,
            waiting: BTreeMap::new(),
            loading: false,
            newest: tally,
            writing: 0,
            counters: None,
            seats: None,
        };
        Self {
            inventory,
            state: Mutex::new(state),
            reading: tokio::sync::Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// How many places are free, as far as was heard here.
    pub(crate) fn available(&self) -> i64 {
        self.state().newest.available
    }

    /// Notes what a transaction changed.
    pub(crate) fn apply(&self, change: &Arc<Change>) {
        self.state().apply(change, &self.inventory);
    }

    /// Notes that these seats turned out to be taken.
    pub(crate) fn mark_taken(&self, seats: &[SeatRef]) {
        let spots = seats.iter().filter_map(|seat| self.inventory.plan.find(seat));
        let mut state = self.state();
        let Some(map) = &mut state.map else { return };
        let free = |spot: &Spot| matches!(map.state(*spot), Some(State::Free | State::Chosen));
        let taken: Vec<_> = spots.filter(free).map(|spot| (spot, State::Held)).collect();
        map.set(taken);
    }

    /// Chooses the best seats and keeps them from being chosen again until the write is decided.
    ///
    /// # Errors
    /// How many such seats the map has, if there are too few.
    pub(crate) fn choose(&self, wish: &Best<'_>) -> Result<Writing<'_>, usize> {
        let mut state = self.state();
        let Some(map) = &mut state.map else { return Err(0) };
        let Some(spots) = map.choose(wish) else { return Err(map.open(wish)) };
        map.set(spots.iter().map(|spot| (*spot, State::Chosen)));
        state.writing += 1;
        Ok(Writing { room: self, spots })
    }

    /// Notes that a write is being decided, until the answer is dropped.
    pub(crate) fn writing(&self) -> Writing<'_> {
        self.state().writing += 1;
        Writing { room: self, spots: Vec::new() }
    }

    /// Waits until one of the writes of this process is decided; `false` if there is none.
    pub(crate) async fn settled(&self) -> bool {
        let mut settled = std::pin::pin!(self.settled.notified());
        settled.as_mut().enable();
        if self.state().writing == 0 {
            return false;
        }
        settled.await;
        true
    }

    /// Whether the map has every change up to `version`.
    pub(crate) fn has(&self, version: i64) -> bool {
        let state = self.state();
        state.map.is_some() && state.version >= version
    }

    /// Makes sure that the map has every change up to `version`: reads it anew if it has not.
    ///
    /// # Errors
    /// If it can't be read.
    pub(crate) async fn catch_up(&self, db: &Db, version: i64) -> Result<(), Error> {
        if self.has(version) {
            return Ok(());
        }
        let _one_reads = self.reading.lock().await;
        if self.has(version) {
            return Ok(());
        }
        // Declared before the lock, and so dropped after it.
        let _loading = Loading::start(self);
        let event_id = self.inventory.event_id;
        let read = db.read(move |tx| {
            Box::pin(async move {
                let tally = inventories::tally(tx, event_id).await?;
                Ok::<_, db::Error>((tally, inventories::taken(tx, event_id).await?))
            })
        });
        let (tally, taken) = read.await?;
        let mut state = self.state();
        state.install(&self.inventory, tally, &taken);
        Ok(())
    }

    /// Counters no older than `since`; read anew if need be, once for all who ask.
    ///
    /// # Errors
    /// If they can't be read.
    pub(crate) async fn counters(
        &self,
        db: &Db,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<Arc<Counters>, Error> {
        let fresh = |state: &Inner| {
            let (at, counters) = state.counters.as_ref()?;
            (*at > since).then(|| counters.clone())
        };
        if let Some(counters) = fresh(&self.state()) {
            return Ok(counters);
        }
        let _one_reads = self.reading.lock().await;
        if let Some(counters) = fresh(&self.state()) {
            return Ok(counters);
        }
        let event_id = self.inventory.event_id;
        let read = db.view(move |tx| {
            Box::pin(async move {
                let tally = inventories::tally(tx, event_id).await?;
                Ok::<_, db::Error>((tally, sections::counts(tx, event_id).await?))
            })
        });
        let (tally, mut sections) = read.await?;
        let plan = &self.inventory.plan;
        let order = |counts: &Counts| plan.sections().iter().position(|s| s.key == counts.section);
        sections.sort_by_cached_key(order);
        let tally = tally.unwrap_or(Tally { version: 0, available: 0 });
        let mut state = self.state();
        // Of a read that is long past, everything since is missing, whoever wrote it.
        let lately = since.minus(now.since(since));
        let before = match &state.counters {
            Some((at, counters)) if *at > lately => counters.tally.version,
            _ => tally.version,
        };
        let counters = Arc::new(Counters { tally, before, sections });
        state.hear(tally);
        state.counters = Some((now, counters.clone()));
        Ok(counters)
    }

    /// The seats that are not free, to go with `counters`.
    ///
    /// # Errors
    /// If they can't be read.
    pub(crate) async fn seats(&self, db: &Db, counters: &Counters) -> Result<Arc<Seats>, Error> {
        let version = counters.tally.version;
        let kept = self.state().seats.clone().filter(|seats| seats.version >= version);
        if let Some(seats) = kept {
            return Ok(seats);
        }
        // What was committed since may not have come here yet; what was missing the time before,
        // or was not looked for lately, is another replica's.
        self.catch_up(db, counters.before).await?;
        let mut seats = Seats { version, held: Vec::new(), sold: Vec::new() };
        let taken: Vec<(Spot, State)> = {
            let state = self.state();
            seats.version = state.version;
            state.map.as_ref().map(|map| map.taken().collect()).unwrap_or_default()
        };
        // Names are put together without the lock.
        for (spot, state) in taken {
            let Some(seat) = self.inventory.plan.seat(spot) else { continue };
            match state {
                State::Held => seats.held.push(seat),
                State::Sold => seats.sold.push(seat),
                State::Free | State::Chosen => {}
            }
        }
        let seats = Arc::new(seats);
        self.state().seats = Some(seats.clone());
        Ok(seats)
    }

    fn state(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn hear(&mut self, tally: Tally) {
        if tally.version > self.newest.version {
            self.newest = tally;
        }
    }

    fn apply(&mut self, change: &Arc<Change>, inventory: &Inventory) {
        self.hear(Tally { version: change.version, available: change.available });
        if self.map.is_none() && !self.loading || change.version <= self.version {
            return;
        }
        self.waiting.insert(change.version, change.clone());
        self.advance(inventory);
        if self.waiting.len() > MAX_WAITING && !self.loading {
            // Another replica's changes are missing: better none than an old map.
            self.map = None;
            self.waiting.clear();
        }
    }

    /// Applies the changes that follow what the map has. What comes too early only marks seats as
    /// taken.
    fn advance(&mut self, inventory: &Inventory) {
        let Some(map) = &mut self.map else { return };
        let spots = |change: &Change| {
            let find =
                |(seat, state): &(SeatRef, State)| Some((inventory.plan.find(seat)?, *state));
            change.seats.iter().filter_map(find).collect::<Vec<_>>()
        };
        // While a new map is read, changes are kept for it as well.
        let mut done = self.version;
        while let Some(change) = self.waiting.get(&(done + 1)) {
            map.set(spots(change));
            done += 1;
        }
        self.version = done;
        for early in self.waiting.range(done + 1..).map(|(_, change)| change) {
            map.set(spots(early).into_iter().filter(|(_, state)| *state != State::Free));
        }
        if !self.loading {
            self.waiting = self.waiting.split_off(&(done + 1));
        }
    }

    fn install(&mut self, inventory: &Inventory, tally: Option<Tally>, taken: &[(String, bool)]) {
        let mut map = SeatMap::new(inventory.plan.clone());
        let chosen: Vec<Spot> = self.map.as_ref().map_or_else(Vec::new, |old| {
            old.taken().filter(|(_, state)| *state == State::Chosen).map(|(spot, _)| spot).collect()
        });
        map.set(chosen.into_iter().map(|spot| (spot, State::Chosen)));
        let state = |sold: bool| if sold { State::Sold } else { State::Held };
        let find = |seat: &str| inventory.plan.find(&seat.parse().ok()?);
        map.set(taken.iter().filter_map(|(seat, sold)| Some((find(seat)?, state(*sold)))));
        self.map = Some(map);
        if let Some(tally) = tally {
            self.hear(tally);
            self.version = tally.version;
        }
        self.loading = false;
        self.waiting = self.waiting.split_off(&(self.version + 1));
        self.advance(inventory);
    }
}

/// A map that is being read, by somebody who may leave in the middle.
struct Loading<'a>(&'a Room);

impl<'a> Loading<'a> {
    fn start(room: &'a Room) -> Self {
        room.state().loading = true;
        Self(room)
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.state().loading = false;
    }
}

/// A write that is being decided, and the seats that were chosen for it. Dropped, those that it did
/// not get are free again.
pub(crate) struct Writing<'a> {
    room: &'a Room,
    /// Where the chosen seats are.
    pub(crate) spots: Vec<Spot>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state();
        state.writing -= 1;
        if let Some(map) = &mut state.map {
            map.give_up(&self.spots);
        }
        drop(state);
        self.room.settled.notify_waiters();
    }
}
