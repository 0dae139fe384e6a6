//! The ledger of places: every move of a hold's places between free, held and sold takes its
//! counters, the event's version and the event message with it, in one transaction.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use db::Tx;
use kernel::{EventId, Failure, Ids, SeatRef, Timestamp};
use platform::{
    bus::{Envelope, TICKET_EVENTS},
    outbox::Outbox,
};
use wire::{Context, pb::ticket::v1::SeatsChanged};

use crate::{
    NAME,
    domain::{
        hold::{Hold, HoldStatus, Places},
        seatmap::{Change, State},
    },
    error::Error,
    maps::Maps,
    store::{
        claims::{self, Claim},
        holds::{self, Ending},
        inventories::{self, Tally},
        sections::{self, Shift},
    },
};

/// What transactions need beside the database.
#[derive(Clone)]
pub(crate) struct Desk {
    /// For ids of messages.
    pub(crate) ids: Arc<dyn Ids>,
    /// Where events are written.
    pub(crate) outbox: Outbox,
    /// Where plans are remembered.
    pub(crate) maps: Arc<Maps>,
}

/// A message's sequence is the event's version, and in this many bits its number within that
/// version's transaction.
const MESSAGE_BITS: u32 = 20;

/// What the next message of an event tells of it.
#[derive(Clone, Copy, Default)]
struct Told {
    available: i64,
    sequence: i64,
}

/// What each event became by a transaction.
pub(crate) type Changes = HashMap<EventId, Arc<Change>>;

/// The places of a hold go from one state to another.
#[derive(Clone, Copy)]
pub(crate) struct Move<'a> {
    /// The hold.
    pub(crate) hold: &'a Hold,
    /// Held, sold or free, before.
    pub(crate) from: State,
    /// And after.
    pub(crate) to: State,
    /// Why, where they become free.
    pub(crate) reason: &'a str,
    /// When.
    pub(crate) at: Timestamp,
    /// Who asked.
    pub(crate) context: &'a Context,
}

impl Move<'_> {
    fn kind(&self) -> &'static str {
        match self.to {
            State::Held | State::Chosen => "seats.held",
            State::Sold => "seats.sold",
            State::Free => "seats.released",
        }
    }

    /// How many places of the event it takes; negative where it gives back.
    fn taken(&self) -> i64 {
        let taken = |state| i64::from(state != State::Free);
        i64::from(self.hold.places.quantity()) * (taken(self.to) - taken(self.from))
    }
}

/// The counters that `moves` change, as [`sections::shift`] wants them.
#[must_use]
pub(crate) fn shifts<'a>(moves: &[Move<'a>]) -> Vec<Shift<'a>> {
    let mut sums: BTreeMap<(EventId, &'a str), (i64, i64)> = BTreeMap::new();
    for step in moves {
        let count = |state: State| i64::from(step.to == state) - i64::from(step.from == state);
        for (section, places) in step.hold.places.by_section() {
            let (held, sold) = sums.entry((step.hold.event_id, section)).or_default();
            *held += places * count(State::Held);
            *sold += places * count(State::Sold);
        }
    }
    let shift = |((event_id, section), (held, sold))| Shift { event_id, section, held, sold };
    sums.into_iter().map(shift).collect()
}

/// Changes the counters of moves that can't be refused.
///
/// # Errors
/// If they are refused all the same: the database lied.
pub(crate) async fn shift_all(tx: &mut Tx, moves: &[Move<'_>]) -> Result<(), Error> {
    let shifts = shifts(moves);
    let shifted = sections::shift(tx, &shifts).await?;
    if shifted.len() == shifts.len() {
        return Ok(());
    }
    Err(corrupt("sections", "counters do not go with the claims"))
}

/// Closes a transaction's moves: the events' versions and tallies, and a message for each move.
/// Comes last, since it locks the events' tallies.
///
/// # Errors
/// Why the database refused.
pub(crate) async fn post(tx: &mut Tx, desk: &Desk, moves: &[Move<'_>]) -> Result<Changes, Error> {
    let mut taken: BTreeMap<EventId, i64> = BTreeMap::new();
    for step in moves {
        *taken.entry(step.hold.event_id).or_default() += step.taken();
    }
    let taken: Vec<(EventId, i64)> = taken.into_iter().collect();
    let tallies: HashMap<EventId, Tally> =
        inventories::bump(tx, &taken).await?.into_iter().collect();
    if tallies.len() != taken.len() {
        return Err(corrupt("tallies", "an event with holds has none"));
    }
    // As it was before, so that each message tells what was left after its own move.
    let mut told: HashMap<EventId, Told> = HashMap::new();
    for (event_id, count) in &taken {
        let Some(tally) = tallies.get(event_id) else { continue };
        let sequence = tally.version << MESSAGE_BITS;
        told.insert(*event_id, Told { available: tally.available + count, sequence });
    }
    let mut messages = Vec::with_capacity(moves.len());
    for step in moves {
        let told = told.entry(step.hold.event_id).or_default();
        told.available -= step.taken();
        messages.push(message(desk, step, *told)?);
        told.sequence += 1;
    }
    desk.outbox.append(tx, &messages).await?;
    Ok(changes(moves, &tallies))
}

fn changes(moves: &[Move<'_>], tallies: &HashMap<EventId, Tally>) -> Changes {
    let mut seats: HashMap<EventId, Vec<(SeatRef, State)>> = HashMap::new();
    for step in moves {
        let changed = step.hold.places.as_seats().iter().map(|seat| (seat.clone(), step.to));
        seats.entry(step.hold.event_id).or_default().extend(changed);
    }
    let change = |(event_id, tally): (&EventId, &Tally)| {
        let change = Change {
            event_id: *event_id,
            version: tally.version,
            available: tally.available,
            seats: seats.remove(event_id).unwrap_or_default(),
        };
        (*event_id, Arc::new(change))
    };
    tallies.iter().map(change).collect()
}

fn message(desk: &Desk, step: &Move<'_>, told: Told) -> Result<Envelope, Failure> {
    let hold = step.hold;
    let places = desk.maps.places(hold.event_id, &hold.places);
    let content = SeatsChanged {
        event_id: hold.event_id.to_string(),
        hold_id: hold.hold_id.to_string(),
        places: places.iter().map(wire::to_place).collect(),
        reason: step.reason.to_owned(),
        at_us: step.at.micros(),
        available: told.available,
        sequence: told.sequence,
    };
    let about = (TICKET_EVENTS, NAME, step.kind());
    Envelope::new(about, hold.event_id, &content, step.context, (&*desk.ids, step.at))
}

/// A hold's places that are to become free.
pub(crate) struct GiveBack<'a> {
    /// The hold, locked in this transaction and still held.
    pub(crate) hold: &'a Hold,
    /// What it becomes.
    pub(crate) status: HoldStatus,
    /// Why.
    pub(crate) reason: &'a str,
    /// When.
    pub(crate) at: Timestamp,
    /// Who asked.
    pub(crate) context: &'a Context,
}

/// Frees the places of holds.
///
/// # Errors
/// Why the database refused.
pub(crate) async fn give_back(
    tx: &mut Tx,
    desk: &Desk,
    ended: &[GiveBack<'_>],
) -> Result<Changes, Error> {
    if ended.is_empty() {
        return Ok(Changes::new());
    }
    let claims = claims_of(ended.iter().map(|ended| ended.hold));
    if claims::free(tx, &claims).await? != claims.len() as u64 {
        return Err(corrupt("claims", "a hold has lost its claims"));
    }
    let moves: Vec<Move<'_>> = ended
        .iter()
        .map(|ended| Move {
            hold: ended.hold,
            from: State::Held,
            to: State::Free,
            reason: ended.reason,
            at: ended.at,
            context: ended.context,
        })
        .collect();
    let endings: Vec<Ending<'_>> = ended
        .iter()
        .map(|ended| Ending {
            hold_id: ended.hold.hold_id,
            status: ended.status,
            reason: ended.reason,
            at: ended.at,
        })
        .collect();
    holds::end(tx, &endings).await?;
    shift_all(tx, &moves).await?;
    post(tx, desk, &moves).await
}

/// The claims of holds, sorted as all statements take them.
pub(crate) fn claims_of<'a>(holds: impl Iterator<Item = &'a Hold>) -> Vec<Claim<'a>> {
    let claims = holds.flat_map(|hold| {
        let claim = |seat| Claim { event_id: hold.event_id, seat, hold_id: hold.hold_id };
        hold.places.as_seats().iter().map(claim)
    });
    let mut claims: Vec<Claim<'_>> = claims.collect();
    claims.sort_unstable();
    claims
}

/// The places that a booking's tickets stand for.
#[must_use]
pub(crate) fn places_of(seats: Vec<SeatRef>, section: &str, count: usize) -> Places {
    if seats.is_empty() {
        let quantity = u32::try_from(count).unwrap_or(u32::MAX);
        return Places::Admissions { section: section.to_owned(), quantity };
    }
    Places::seats(seats)
}

/// The database lied.
#[must_use]
pub(crate) fn corrupt(table: &str, detail: &str) -> Error {
    db::Error::Corrupt { column: table.to_owned(), detail: detail.to_owned() }.into()
}
