//! What was refused moments ago. Whoever wishes the same of the same event is refused the same, and
//! nobody is asked.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::{Choice, EventId, Failure, Timestamp};

/// Refusals that say something of the event and the places, and nothing of who asked.
const OF_THE_EVENT: [&str; 4] = ["SALE_CLOSED", "ADMISSION_REQUIRED", "SOLD_OUT", "SEAT_TAKEN"];

/// The most wishes that are remembered, and the most events; beyond, all are forgotten.
const MOST: usize = 16_384;

/// A wish, apart from who has it: with or without admission from the queue, which places.
pub(crate) type Wish = (bool, Choice);

/// The refusals of the last moments.
#[derive(Debug)]
pub(crate) struct Refusals {
    memory: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    events: HashMap<EventId, Recent>,
    /// How many wishes of all events are remembered.
    wishes: usize,
}

/// Those of one event.
#[derive(Debug, Default)]
struct Recent {
    /// When places came back, as far as this process knows: what was asked before says nothing.
    freed_at: Timestamp,
    wishes: HashMap<Wish, Refused>,
}

#[derive(Debug)]
struct Refused {
    failure: Failure,
    /// Until when it is surely fresh.
    until: Timestamp,
    /// When it ends, though nobody has learned anything else.
    ends_at: Timestamp,
    /// Whether somebody asks again, while the others are refused as before.
    asked_again: bool,
}

impl Refusals {
    /// Remembers each refusal for `memory`; nothing, if that is zero.
    pub(crate) fn new(memory: Duration) -> Self {
        Self { memory, known: Mutex::default() }
    }

    /// What `wish` was refused with moments ago. When that gets old, one of those who come is let
    /// through to ask again, and the others are refused for as long again at most.
    pub(crate) fn recall(&self, event: EventId, wish: &Wish, now: Timestamp) -> Option<Failure> {
        let mut known = self.lock();
        let refused = known.events.get_mut(&event)?.wishes.get_mut(wish)?;
        if refused.ends_at <= now {
            known.remove(event, wish);
            return None;
        }
        if refused.until <= now && !mem::replace(&mut refused.asked_again, true) {
            return None;
        }
        Some(refused.failure.clone())
    }

    /// Notes that `wish` was granted after all.
    pub(crate) fn lift(&self, event: EventId, wish: &Wish) {
        self.lock().remove(event, wish);
    }

    /// Notes that `wish`, which was asked for at `asked_at`, was refused.
    pub(crate) fn note(&self, event: EventId, wish: Wish, asked_at: Timestamp, failure: &Failure) {
        if self.memory.is_zero() || !OF_THE_EVENT.contains(&&*failure.reason) {
            return;
        }
        let starts_at = sale_starts_at(failure).filter(|at| *at > asked_at);
        let limited = |at: Timestamp| starts_at.map_or(at, |starts_at| at.min(starts_at));
        let (until, ends_at) = (asked_at.plus(self.memory), asked_at.plus(self.memory * 2));
        let (until, ends_at) = (limited(until), limited(ends_at));
        let mut known = self.lock();
        let recent = known.recent(event);
        if asked_at <= recent.freed_at {
            return;
        }
        let refused = Refused { failure: failure.clone(), until, ends_at, asked_again: false };
        if recent.wishes.insert(wish, refused).is_none() {
            known.wishes += 1;
        }
    }

    /// Places of `event` came back: nothing that was refused before `now` is refused for sure.
    pub(crate) fn forget(&self, event: EventId, now: Timestamp) {
        if self.memory.is_zero() {
            return;
        }
        let mut known = self.lock();
        let recent = known.recent(event);
        recent.freed_at = now;
        let forgotten = mem::take(&mut recent.wishes).len();
        known.wishes -= forgotten;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What is known of `event`, which may take one wish more.
    fn recent(&mut self, event: EventId) -> &mut Recent {
        let full = self.events.len() >= MOST && !self.events.contains_key(&event);
        if full || self.wishes >= MOST {
            *self = Self::default();
        }
        self.events.entry(event).or_default()
    }

    fn remove(&mut self, event: EventId, wish: &Wish) {
        let recent = self.events.get_mut(&event);
        if recent.is_some_and(|recent| recent.wishes.remove(wish).is_some()) {
            self.wishes -= 1;
        }
    }
}

/// When the sale starts that was closed.
fn sale_starts_at(failure: &Failure) -> Option<Timestamp> {
    let micros = failure.metadata.get("sale_starts_at_us")?.parse().ok()?;
    Some(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use kernel::Code;

    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_782_820_800);
    const MEMORY: Duration = Duration::from_millis(100);

    fn event(number: u32) -> EventId {
        format!("01900000-0000-7000-8000-{number:012}").parse().unwrap()
    }

    fn wish(quantity: u32) -> Wish {
        (false, Choice::Admissions { section: "floor".to_owned(), quantity })
    }

    fn refusal(reason: &'static str) -> Failure {
        Failure::new(Code::Conflict, reason, "no")
    }

    fn later(ms: u64) -> Timestamp {
        NOON.plus(Duration::from_millis(ms))
    }

    #[test]
    fn the_same_wish_is_refused_the_same_for_a_moment() {
        let refusals = Refusals::new(MEMORY);
        let sold_out = refusal("SOLD_OUT").with("available", 0);
        refusals.note(event(1), wish(2), NOON, &sold_out);
        assert_eq!(refusals.recall(event(1), &wish(2), later(99)), Some(sold_out));
        assert_eq!(refusals.recall(event(1), &wish(1), NOON), None, "one place may be left");
        assert_eq!(refusals.recall(event(1), &(true, wish(2).1), NOON), None);
        assert_eq!(refusals.recall(event(2), &wish(2), NOON), None);
        assert_eq!(refusals.recall(event(1), &wish(2), later(100)), None);
    }

    #[test]
    fn one_asks_again_when_it_gets_old_while_the_others_wait_for_what_it_learns() {
        let refusals = Refusals::new(MEMORY);
        refusals.note(event(1), wish(1), NOON, &refusal("SOLD_OUT"));
        assert_eq!(refusals.recall(event(1), &wish(1), later(100)), None);
        assert!(refusals.recall(event(1), &wish(1), later(101)).is_some());
        refusals.note(event(1), wish(1), later(100), &refusal("SOLD_OUT"));
        assert!(refusals.recall(event(1), &wish(1), later(199)).is_some());
        assert_eq!(refusals.recall(event(1), &wish(1), later(200)), None);
        assert!(refusals.recall(event(1), &wish(1), later(201)).is_some());
        refusals.lift(event(1), &wish(1));
        assert_eq!(refusals.recall(event(1), &wish(1), later(202)), None, "it was granted");
        refusals.note(event(1), wish(1), later(300), &refusal("SOLD_OUT"));
        assert_eq!(refusals.recall(event(1), &wish(1), later(400)), None);
        assert!(refusals.recall(event(1), &wish(1), later(499)).is_some());
        assert_eq!(refusals.recall(event(1), &wish(1), later(500)), None, "it never came back");
        assert_eq!(refusals.recall(event(1), &wish(1), later(501)), None);
    }

    #[test]
    fn what_depends_on_who_asks_is_not_remembered() {
        let refusals = Refusals::new(MEMORY);
        for reason in ["UNAVAILABLE", "HOLD_MISMATCH", "TOO_MANY_PLACES", "FORBIDDEN"] {
            refusals.note(event(1), wish(1), NOON, &refusal(reason));
            assert_eq!(refusals.recall(event(1), &wish(1), NOON), None, "{reason}");
        }
        let off = Refusals::new(Duration::ZERO);
        off.note(event(1), wish(1), NOON, &refusal("SOLD_OUT"));
        assert_eq!(off.recall(event(1), &wish(1), NOON), None);
    }

    #[test]
    fn places_that_come_back_end_it_also_for_who_asked_before() {
        let refusals = Refusals::new(MEMORY);
        refusals.note(event(1), wish(1), NOON, &refusal("SOLD_OUT"));
        refusals.note(event(2), wish(1), NOON, &refusal("SOLD_OUT"));
        refusals.forget(event(1), later(10));
        assert_eq!(refusals.recall(event(1), &wish(1), later(10)), None);
        assert!(refusals.recall(event(2), &wish(1), later(10)).is_some());
        refusals.note(event(1), wish(1), later(9), &refusal("SOLD_OUT"));
        assert_eq!(refusals.recall(event(1), &wish(1), later(11)), None, "asked too early");
        refusals.note(event(1), wish(1), later(12), &refusal("SOLD_OUT"));
        assert!(refusals.recall(event(1), &wish(1), later(13)).is_some());
    }

    #[test]
    fn nobody_is_refused_as_too_early_once_the_sale_has_begun() {
        let refusals = Refusals::new(MEMORY);
        let closed = |at: Timestamp| refusal("SALE_CLOSED").with("sale_starts_at_us", at.micros());
        refusals.note(event(1), wish(1), NOON, &closed(later(30)));
        assert!(refusals.recall(event(1), &wish(1), later(29)).is_some());
        for ms in [30, 31] {
            assert_eq!(
                refusals.recall(event(1), &wish(1), later(ms)),
                None,
                "nobody, not only one"
            );
        }
        refusals.note(event(1), wish(1), NOON, &closed(NOON.minus(MEMORY)));
        assert!(refusals.recall(event(1), &wish(1), later(99)).is_some(), "it was over");
    }

    #[test]
    fn a_flood_of_wishes_or_events_takes_no_memory() {
        let refusals = Refusals::new(MEMORY);
        for number in 0..=u32::try_from(MOST).unwrap() {
            refusals.note(event(1), wish(number), NOON, &refusal("SOLD_OUT"));
            refusals.note(event(number), wish(1), NOON, &refusal("SOLD_OUT"));
        }
        let known = refusals.lock();
        let wishes: usize = known.events.values().map(|recent| recent.wishes.len()).sum();
        assert!(known.events.len() <= MOST && wishes <= MOST);
        assert_eq!(known.wishes, wishes);
    }
}
