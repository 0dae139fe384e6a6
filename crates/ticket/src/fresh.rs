//! Holds that this process made lately, so that their tickets are issued without reading them
//! first. What a hold is worth by then is decided in the transaction, as for any other.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kernel::HoldId;

use crate::domain::hold::Hold;

/// The most that are remembered; beyond, all are forgotten. Some 300 bytes each.
const MAX_HOLDS: usize = 50_000;

/// Holds made lately.
#[derive(Default)]
pub(crate) struct FreshHolds(Mutex<HashMap<HoldId, Hold>>);

impl FreshHolds {
    /// Remembers a hold.
    pub(crate) fn put(&self, hold: Hold) {
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.len() >= MAX_HOLDS {
            holds.clear();
        }
        holds.insert(hold.hold_id, hold);
    }

    /// Hands a hold out, and forgets it.
    pub(crate) fn take(&self, id: HoldId) -> Option<Hold> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}
