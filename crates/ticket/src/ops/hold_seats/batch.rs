//! Decides wishes that met in one transaction: a handful of statements, however many wishes there
//! are.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use db::Tx;
use kernel::{EventId, HoldId, SeatRef, Timestamp};
use wire::Context;

use crate::{
    domain::{
        batch::{self, Asked, Known, Verdict},
        hold::{Hold, HoldStatus, Places},
        seatmap::{Change, State},
    },
    error::Error,
    ledger::{self, Desk, Move},
    store::{
        claims::{self, Claim},
        holds, sections,
    },
};

/// A wish in a batch.
pub(crate) struct Wish {
    /// The hold as it will be.
    pub(crate) hold: Hold,
    /// When it is asked for.
    pub(crate) now: Timestamp,
    /// Who asked.
    pub(crate) context: Context,
}

/// What was decided for it.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// It stands, and the event changed by it.
    Held(Hold, Arc<Change>),
    /// It stood before.
    Repeated(Hold),
    /// Its id was used for another wish.
    Mismatch,
    /// It was made before and is over.
    Over(HoldStatus),
    /// Seats are taken; `lapsed` if a hold on one of them only needs to be cleared away.
    Taken {
        /// Which seats.
        seats: Vec<SeatRef>,
        /// Whether a hold on one of them has lapsed.
        lapsed: bool,
    },
    /// The section has no room.
    SoldOut {
        /// How many admissions it has left.
        free: i64,
    },
    /// Somebody else came between: to be asked again.
    Again,
}

/// Decides `wishes`, first come first served, all or nothing for each.
///
/// # Errors
/// Why the database refused.
pub(crate) async fn decide(
    tx: &mut Tx,
    desk: &Desk,
    wishes: &[Wish],
) -> Result<Vec<Result<Decision, Error>>, Error> {
    let mut known = look_up(tx, wishes).await?;
    let asked: Vec<Asked<'_>> = wishes.iter().map(asked).collect();
    let verdicts = batch::decide(&asked, &known);
    let granted: Vec<&Wish> = wishes
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| **verdict == Verdict::Granted)
        .map(|(wish, _)| wish)
        .collect();
    let lost = secure(tx, &granted).await?;
    let kept = granted.iter().filter(|wish| !lost.contains(&wish.hold.hold_id));
    let moves: Vec<Move<'_>> = kept.map(|wish| to_held(wish)).collect();
    let changes = match moves.is_empty() {
        true => HashMap::new(),
        false => ledger::post(tx, desk, &moves).await?,
    };
    let mut decisions: Vec<Decision> = Vec::with_capacity(wishes.len());
    for (wish, verdict) in wishes.iter().zip(verdicts) {
        let hold_id = wish.hold.hold_id;
        decisions.push(match verdict {
            Verdict::Granted if lost.contains(&hold_id) => Decision::Again,
            Verdict::Granted => match changes.get(&wish.hold.event_id) {
                Some(change) => Decision::Held(wish.hold.clone(), change.clone()),
                None => Decision::Again,
            },
            Verdict::Repeated => {
                known.holds.remove(&hold_id).map_or(Decision::Again, Decision::Repeated)
            }
            Verdict::SameAs(index) => decisions.get(index).cloned().unwrap_or(Decision::Again),
            Verdict::Mismatch => Decision::Mismatch,
            Verdict::Over(status) => Decision::Over(status),
            // Refused because of a neighbour who may have come to nothing.
            Verdict::Taken { by_neighbour: true, .. }
            | Verdict::SoldOut { by_neighbour: true, .. }
                if !lost.is_empty() =>
            {
                Decision::Again
            }
            Verdict::Taken { seats, lapsed, .. } => Decision::Taken { seats, lapsed },
            Verdict::SoldOut { free, .. } => Decision::SoldOut { free },
        });
    }
    Ok(decisions.into_iter().map(Ok).collect())
}

fn asked(wish: &Wish) -> Asked<'_> {
    Asked {
        hold_id: wish.hold.hold_id,
        event_id: wish.hold.event_id,
        account_id: wish.hold.account_id,
        fingerprint: &wish.hold.fingerprint,
        places: &wish.hold.places,
        now: wish.now,
    }
}

fn to_held(wish: &Wish) -> Move<'_> {
    Move {
        hold: &wish.hold,
        from: State::Free,
        to: State::Held,
        reason: "",
        at: wish.now,
        context: &wish.context,
    }
}

/// What the database has of the holds, seats and sections that are wished for.
async fn look_up(tx: &mut Tx, wishes: &[Wish]) -> Result<Known, Error> {
    let mut ids: Vec<HoldId> = wishes.iter().map(|wish| wish.hold.hold_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut seats: Vec<(EventId, &SeatRef)> = Vec::new();
    let mut areas: Vec<(EventId, &str)> = Vec::new();
    for wish in wishes {
        let event_id = wish.hold.event_id;
        match &wish.hold.places {
            Places::Seats(wished) => seats.extend(wished.iter().map(|seat| (event_id, seat))),
            Places::Admissions { section, .. } => areas.push((event_id, section)),
        }
    }
    seats.sort_unstable();
    seats.dedup();
    areas.sort_unstable();
    areas.dedup();
    Ok(Known {
        holds: holds::find(tx, &ids).await?,
        claims: claims::find(tx, &seats).await?,
        free: sections::free(tx, &areas).await?,
    })
}

/// Writes the granted holds with their claims and counters, and returns those that lost against
/// another transaction after all; nothing is left of them. Everybody takes holds, then claims, then
/// sections, each sorted.
async fn secure(tx: &mut Tx, granted: &[&Wish]) -> Result<HashSet<HoldId>, Error> {
    let mut new: Vec<(&Hold, Timestamp)> =
        granted.iter().map(|wish| (&wish.hold, wish.now)).collect();
    new.sort_unstable_by_key(|(hold, _)| hold.hold_id);
    let written = holds::insert(tx, &new).await?;
    let mut lost: HashSet<HoldId> = granted
        .iter()
        .map(|wish| wish.hold.hold_id)
        .filter(|hold_id| !written.contains(hold_id))
        .collect();
    let standing = |lost: &HashSet<HoldId>| {
        let holds = granted.iter().filter(|wish| !lost.contains(&wish.hold.hold_id));
        holds.copied().collect::<Vec<&Wish>>()
    };
    let beaten = take_claims(tx, &standing(&lost)).await?;
    lost.extend(&beaten);
    let crowded = take_room(tx, &standing(&lost)).await?;
    lost.extend(&crowded);
    let mut back: Vec<HoldId> = beaten.into_iter().chain(crowded).collect();
    back.sort_unstable();
    holds::take_back(tx, &back).await?;
    Ok(lost)
}

/// Claims the seats of `wishes`, and returns whose seats were claimed by others meanwhile; those
/// keep none.
async fn take_claims(tx: &mut Tx, wishes: &[&Wish]) -> Result<Vec<HoldId>, Error> {
    let wanted = ledger::claims_of(wishes.iter().map(|wish| &wish.hold));
    let until: HashMap<HoldId, Timestamp> =
        wishes.iter().map(|wish| (wish.hold.hold_id, wish.hold.expires_at)).collect();
    let until = |claim: &Claim<'_>| until.get(&claim.hold_id).copied().unwrap_or_default();
    let rows: Vec<(Claim<'_>, Timestamp)> =
        wanted.iter().map(|claim| (*claim, until(claim))).collect();
    let won = claims::take(tx, &rows).await?;
    if won.len() == wanted.len() {
        return Ok(Vec::new());
    }
    let is_won = |claim: &Claim<'_>| won.contains(&(claim.event_id, claim.seat.clone()));
    let beaten: HashSet<HoldId> =
        wanted.iter().filter(|claim| !is_won(claim)).map(|claim| claim.hold_id).collect();
    let back = wanted.iter().filter(|claim| beaten.contains(&claim.hold_id) && is_won(claim));
    claims::free(tx, &back.copied().collect::<Vec<_>>()).await?;
    Ok(beaten.into_iter().collect())
}

/// Counts the places of `wishes` as held, and returns whose section was filled by others meanwhile.
async fn take_room(tx: &mut Tx, wishes: &[&Wish]) -> Result<Vec<HoldId>, Error> {
    let moves: Vec<Move<'_>> = wishes.iter().map(|wish| to_held(wish)).collect();
    let shifts = ledger::shifts(&moves);
    let shifted = sections::shift(tx, &shifts).await?;
    if shifted.len() == shifts.len() {
        return Ok(Vec::new());
    }
    let full: Vec<(EventId, &str)> = shifts
        .iter()
        .map(|shift| (shift.event_id, shift.section))
        .filter(|(event_id, section)| !shifted.contains(&(*event_id, (*section).to_owned())))
        .collect();
    // Together they are too many: as many as there is room for, first come first served.
    let mut free: BTreeMap<(EventId, &str), i64> = BTreeMap::new();
    let read = sections::free(tx, &full).await?;
    for (event_id, section) in &full {
        let room = read.get(event_id).and_then(|free| free.get(*section)).copied().unwrap_or(0);
        free.insert((*event_id, section), room);
    }
    let (mut crowded, mut fitting) = (Vec::new(), Vec::new());
    for step in &moves {
        let Places::Admissions { section, quantity } = &step.hold.places else { continue };
        let Some(room) = free.get_mut(&(step.hold.event_id, section.as_str())) else { continue };
        let fits = *room >= i64::from(*quantity);
        *room -= if fits { i64::from(*quantity) } else { 0 };
        if fits { fitting.push(*step) } else { crowded.push(step.hold.hold_id) }
    }
    let shifts = ledger::shifts(&fitting);
    let shifted = sections::shift(tx, &shifts).await?;
    let missed = |step: &&Move<'_>| match &step.hold.places {
        Places::Admissions { section, .. } => {
            !shifted.contains(&(step.hold.event_id, section.clone()))
        }
        Places::Seats(_) => false,
    };
    crowded.extend(fitting.iter().filter(missed).map(|step| step.hold.hold_id));
    let uncounted = full.iter().any(|(event_id, section)| {
        wishes.iter().any(|wish| {
            wish.hold.event_id == *event_id
                && wish.hold.places.as_seats().iter().any(|seat| seat.section() == *section)
        })
    });
    if uncounted {
        return Err(ledger::corrupt("sections", "a section is full and has free seats"));
    }
    Ok(crowded)
}
