//! Openings under way in this process, so that a repeated request can wait for the first instead of
//! asking the database. Only an optimisation: across processes the lease on the row decides.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::BookingId;
use tokio::sync::watch;

type Sky = Mutex<HashMap<BookingId, watch::Sender<()>>>;

/// The openings under way. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Sky>);

/// One opening under way; it has landed when this is dropped.
pub(crate) struct Flight {
    sky: Arc<Sky>,
    id: BookingId,
}

impl Flights {
    /// Notes that the opening of `id` is under way.
    pub(crate) fn take_off(&self, id: BookingId) -> Flight {
        locked(&self.0).insert(id, watch::Sender::new(()));
        Flight { sky: self.0.clone(), id }
    }

    /// Waits until the opening of `id` is over, at most `limit`; at once if none is under way here.
    pub(crate) async fn landed(&self, id: BookingId, limit: Duration) {
        let Some(mut flight) = locked(&self.0).get(&id).map(watch::Sender::subscribe) else {
            return;
        };
        // Nothing is ever sent: the wait ends when the sender is dropped, or with its time.
        let _ = tokio::time::timeout(limit, flight.changed()).await;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        locked(&self.sky).remove(&self.id);
    }
}

fn locked(sky: &Sky) -> MutexGuard<'_, HashMap<BookingId, watch::Sender<()>>> {
    sky.lock().unwrap_or_else(PoisonError::into_inner)
}
