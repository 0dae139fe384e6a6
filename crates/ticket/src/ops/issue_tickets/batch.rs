//! Decides sales that met in one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use db::Tx;
use kernel::{BookingId, HoldId, Timestamp};
use wire::Context;

use crate::{
    domain::{
        hold::{Hold, HoldStatus, Places},
        seatmap::{Change, State},
        ticket::Ticket,
    },
    error::Error,
    ledger::{self, Desk, Move},
    ops::use_ticket::actor,
    store::{
        claims::{self, Claim},
        holds::{self, Ending},
        sections,
        tickets::{self, New},
    },
};

/// A sale in a batch.
pub(crate) struct Sale {
    /// The hold as it was read.
    pub(crate) hold: Hold,
    /// The tickets as they will be.
    pub(crate) tickets: Vec<Ticket>,
    /// The booking as people know it.
    pub(crate) reference: String,
    /// When.
    pub(crate) now: Timestamp,
    /// Who asked.
    pub(crate) context: Context,
}

/// What was decided for it.
pub(crate) enum Decision {
    /// The tickets are issued.
    Issued(Vec<Ticket>, Arc<Change>),
    /// The hold became tickets before.
    HoldIssued,
    /// The hold is over, and its places are not all free.
    Lost(HoldStatus),
    /// Somebody else came between: to be asked again.
    Again,
}

/// Decides `sales`, first come first served. A hold that has lapsed but was not cleared away is as
/// good as any; one that was is taken up again if all its places are free. One that was released
/// is over for good: whoever asks for its tickets is late.
///
/// # Errors
/// Why the database refused.
pub(crate) async fn decide(
    tx: &mut Tx,
    desk: &Desk,
    sales: &[Sale],
) -> Result<Vec<Result<Decision, Error>>, Error> {
    let ids: Vec<HoldId> = sales.iter().map(|sale| sale.hold.hold_id).collect();
    let locked = holds::lock(tx, &ids).await?;
    let issued = tickets::issued(tx, &bookings(sales)).await?;
    let mut refused: HashMap<usize, Decision> = HashMap::new();
    let (mut seen, mut again) = (HashSet::new(), Vec::new());
    for (index, sale) in sales.iter().enumerate() {
        let booking = sale.tickets.first().map(|ticket| ticket.booking_id);
        let status = locked.get(&sale.hold.hold_id).map(|hold| hold.status);
        let refusal = match status {
            None => Some(Decision::Again),
            Some(HoldStatus::Issued) => Some(Decision::HoldIssued),
            Some(_) if booking.is_none_or(|booking| issued.contains(&booking)) => {
                Some(Decision::Again)
            }
            Some(_) if !seen.insert(sale.hold.hold_id) => Some(Decision::Again),
            Some(HoldStatus::Held) => None,
            // Given back by whoever had it: its booking is over.
            Some(HoldStatus::Released) => Some(Decision::Lost(HoldStatus::Released)),
            Some(status) => {
                again.push((index, sale, status));
                None
            }
        };
        if let Some(refusal) = refusal {
            refused.insert(index, refusal);
        }
    }
    let lost = take_up_again(tx, &again).await?;
    refused.extend(lost.into_iter().map(|(index, status)| (index, Decision::Lost(status))));
    let good: Vec<(&Sale, bool)> = sales
        .iter()
        .enumerate()
        .filter(|(index, _)| !refused.contains_key(index))
        .map(|(index, sale)| (sale, again.iter().any(|(at, ..)| *at == index)))
        .collect();
    let changes = match good.is_empty() {
        true => HashMap::new(),
        false => sell(tx, desk, &good).await?,
    };
    let decision = |(index, sale): (usize, &Sale)| {
        Ok(refused.remove(&index).unwrap_or_else(|| match changes.get(&sale.hold.event_id) {
            Some(change) => Decision::Issued(sale.tickets.clone(), change.clone()),
            None => Decision::Again,
        }))
    };
    Ok(sales.iter().enumerate().map(decision).collect())
}

fn bookings(sales: &[Sale]) -> Vec<BookingId> {
    let tickets = sales.iter().filter_map(|sale| sale.tickets.first());
    let mut bookings: Vec<BookingId> = tickets.map(|ticket| ticket.booking_id).collect();
    bookings.sort_unstable();
    bookings.dedup();
    bookings
}

/// Takes the places of holds that are over, and returns those that could not have all of theirs.
/// Rare, and so one by one: seats first, then admissions, as everybody does. What was taken counts
/// as held.
async fn take_up_again(
    tx: &mut Tx,
    over: &[(usize, &Sale, HoldStatus)],
) -> Result<Vec<(usize, HoldStatus)>, Error> {
    let mut lost = Vec::new();
    let mut in_order = over.to_vec();
    // Seats before admissions.
    in_order.sort_by_key(|(_, sale, _)| sale.hold.places.as_seats().is_empty());
    for (index, sale, status) in in_order {
        let claims = ledger::claims_of(std::iter::once(&sale.hold));
        let rows: Vec<(Claim<'_>, Timestamp)> =
            claims.iter().map(|claim| (*claim, sale.now)).collect();
        let won = claims::take(tx, &rows).await?;
        if won.len() < claims.len() {
            let is_won = |claim: &&Claim<'_>| won.contains(&(claim.event_id, claim.seat.clone()));
            let back: Vec<Claim<'_>> = claims.iter().filter(is_won).copied().collect();
            claims::free(tx, &back).await?;
            lost.push((index, status));
            continue;
        }
        if matches!(sale.hold.places, Places::Admissions { .. }) {
            let shifts = ledger::shifts(&[to_sold(sale, State::Free)]);
            let held =
                shifts.iter().map(|shift| sections::Shift { held: shift.sold, sold: 0, ..*shift });
            let held: Vec<_> = held.collect();
            if sections::shift(tx, &held).await?.len() < held.len() {
                lost.push((index, status));
            }
        }
    }
    Ok(lost)
}

fn to_sold(sale: &Sale, from: State) -> Move<'_> {
    Move {
        hold: &sale.hold,
        from,
        to: State::Sold,
        reason: "",
        at: sale.now,
        context: &sale.context,
    }
}

/// Sells the places of `sales`, each with whether it was taken up again.
async fn sell(tx: &mut Tx, desk: &Desk, sales: &[(&Sale, bool)]) -> Result<ledger::Changes, Error> {
    let claims = ledger::claims_of(sales.iter().map(|(sale, _)| &sale.hold));
    if claims::sell(tx, &claims).await? != claims.len() as u64 {
        return Err(ledger::corrupt("claims", "a hold has lost its claims"));
    }
    let ending = |(sale, _): &(&Sale, bool)| Ending {
        hold_id: sale.hold.hold_id,
        status: HoldStatus::Issued,
        reason: "issued",
        at: sale.now,
    };
    holds::end(tx, &sales.iter().map(ending).collect::<Vec<_>>()).await?;
    // Admissions that were taken up again are counted as held already; their seats are not.
    let counted = |(sale, again): &(&Sale, bool)| {
        let is_seats = !sale.hold.places.as_seats().is_empty();
        if *again && is_seats { State::Free } else { State::Held }
    };
    let moves: Vec<Move<'_>> = sales.iter().map(|sale| to_sold(sale.0, counted(sale))).collect();
    ledger::shift_all(tx, &moves).await?;
    let actors: Vec<String> = sales.iter().map(|(sale, _)| actor(&sale.context.caller)).collect();
    let new = sales.iter().zip(&actors).flat_map(|((sale, _), actor)| {
        sale.tickets.iter().map(|ticket| New { ticket, reference: &sale.reference, actor })
    });
    tickets::insert(tx, &new.collect::<Vec<_>>()).await?;
    let from = |again: bool| if again { State::Free } else { State::Held };
    let moves: Vec<Move<'_>> =
        sales.iter().map(|(sale, again)| to_sold(sale, from(*again))).collect();
    ledger::post(tx, desk, &moves).await
}
