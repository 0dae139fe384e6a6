//! What is kept in memory of the events that are asked for: their plans and seat maps. It may be
//! behind; the database decides.

mod room;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use db::Db;
use kernel::{EventId, Failure, Place};
use tokio::sync::OnceCell;

pub use self::room::{Counters, Seats};
pub(crate) use self::room::{Room, Writing};
use crate::{domain::hold::Places, error::Error, ledger::Changes, store::inventories};

/// The events that are kept in memory, the least recently used going first.
pub(crate) struct Maps {
    db: Db,
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    rooms: HashMap<EventId, Entry>,
    /// Counts uses, so that the oldest is known without a clock.
    uses: u64,
}

struct Entry {
    room: Arc<OnceCell<Arc<Room>>>,
    used: u64,
}

impl Maps {
    /// Keeps up to `limit` events of `db`.
    #[must_use]
    pub(crate) fn new(db: Db, limit: usize) -> Self {
        Self { db, limit: limit.max(1), kept: Mutex::default() }
    }

    /// The event's room; read from the database the first time, once for all who ask.
    ///
    /// # Errors
    /// `NOT_FOUND` if the event has no inventory.
    pub(crate) async fn room(&self, event_id: EventId) -> Result<Arc<Room>, Error> {
        let cell = self.cell(event_id);
        let room = cell
            .get_or_try_init(|| async {
                let found = self.db.read(move |tx| {
                    Box::pin(async move {
                        Ok::<_, db::Error>((
                            inventories::find(tx, event_id).await?,
                            inventories::tally(tx, event_id).await?,
                        ))
                    })
                });
                match found.await? {
                    (Some(inventory), Some(tally)) => Ok(Arc::new(Room::new(inventory, tally))),
                    _ => Err(Error::from(Failure::not_found("event"))),
                }
            })
            .await;
        if room.is_err() {
            let mut kept = self.kept();
            if kept.rooms.get(&event_id).is_some_and(|entry| Arc::ptr_eq(&entry.room, &cell)) {
                kept.rooms.remove(&event_id);
            }
        }
        room.cloned()
    }

    /// Has the event's room read anew by whoever asks next.
    pub(crate) fn forget(&self, event_id: EventId) {
        self.kept().rooms.remove(&event_id);
    }

    /// The event's room, if it is in memory.
    pub(crate) fn peek(&self, event_id: EventId) -> Option<Arc<Room>> {
        self.kept().rooms.get(&event_id)?.room.get().cloned()
    }

    /// Each of `places` with its price category, as far as the event is in memory.
    pub(crate) fn places(&self, event_id: EventId, places: &Places) -> Vec<Place> {
        if let Some(room) = self.peek(event_id) {
            return places.expand(&room.inventory.plan);
        }
        let bare = |section: &str, seat| Place {
            section: section.to_owned(),
            seat,
            category: String::new(),
            wheelchair: false,
        };
        match places {
            Places::Seats(seats) => {
                seats.iter().map(|seat| bare(seat.section(), Some(seat.clone()))).collect()
            }
            Places::Admissions { section, quantity } => {
                vec![bare(section, None); *quantity as usize]
            }
        }
    }

    /// Notes what a transaction changed, in the rooms that are in memory.
    pub(crate) fn apply(&self, changes: &Changes) {
        for (event_id, change) in changes {
            if let Some(room) = self.peek(*event_id) {
                room.apply(change);
            }
        }
    }

    fn cell(&self, event_id: EventId) -> Arc<OnceCell<Arc<Room>>> {
        let mut kept = self.kept();
        kept.uses += 1;
        let used = kept.uses;
        if let Some(entry) = kept.rooms.get_mut(&event_id) {
            entry.used = used;
            return entry.room.clone();
        }
        if kept.rooms.len() >= self.limit {
            let oldest = kept.rooms.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(event_id, _)| *event_id) {
                kept.rooms.remove(&oldest);
            }
        }
        let room = Arc::new(OnceCell::new());
        kept.rooms.insert(event_id, Entry { room: room.clone(), used });
        room
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
