//! The seat map, and who gets what when many ask at once.

use std::sync::Arc;

use kernel::{AccountId, EventId, HoldId, SeatRef};
use ticket::domain::{
    batch::{Asked, Known, decide},
    choose::Best,
    hold::Places,
    plan::{Kind, Plan, Row, Section, Spot},
    seatmap::{SeatMap, State},
};

use crate::{NOON, Once, seeded};

const ROWS: u32 = 50;
const SEATS: u32 = 40;
/// How many are asked for at once, in a batch.
const BATCH: usize = 64;

/// A hall of 2,000 seats of which two of three are sold.
fn hall() -> SeatMap {
    let row = |number: u32| Row {
        name: number.to_string(),
        first_number: 1,
        seats: SEATS,
        category: None,
        wheelchair: Vec::new(),
    };
    let stalls = Section {
        key: "stalls".to_owned(),
        kind: Kind::Seated,
        category: "one".to_owned(),
        capacity: ROWS * SEATS,
        rows: (1..=ROWS).map(row).collect(),
    };
    let plan = Plan::new(vec![stalls]).unwrap_or_else(|failure| unreachable!("{failure}"));
    let mut map = SeatMap::new(Arc::new(plan));
    let ids = seeded();
    let sold: Vec<_> = (0..ROWS as usize)
        .flat_map(|row| (0..SEATS as usize).map(move |offset| Spot { row, offset }))
        .filter(|_| ids.below(3) < 2)
        .map(|spot| (spot, State::Sold))
        .collect();
    map.set(sold);
    map
}

/// The best two or three together: chosen, and given up.
pub(crate) fn best_available() -> Once {
    let mut map = hall();
    let mut quantity = 2;
    Box::new(move || {
        quantity = 5 - quantity;
        let wish = Best { quantity, section: None, category: None, wheelchair: 0 };
        let spots = map.choose(&wish).unwrap_or_default();
        map.set(spots.iter().map(|spot| (*spot, State::Chosen)));
        map.give_up(&spots);
        spots.iter().map(|spot| (spot.row * SEATS as usize + spot.offset) as u64).sum()
    })
}

/// Two seats, by their names: found, held, freed.
pub(crate) fn changes() -> Once {
    let mut map = hall();
    let names: Vec<SeatRef> = (1..=ROWS)
        .filter_map(|row| {
            SeatRef::new("stalls", &row.to_string(), &(row % SEATS + 1).to_string()).ok()
        })
        .collect();
    let mut at = 0;
    Box::new(move || {
        at = (at + 1) % (names.len() - 1);
        let found = names.iter().skip(at).take(2).filter_map(|name| map.plan().find(name));
        let spots: Vec<(Spot, State)> =
            found.filter_map(|spot| Some((spot, map.state(spot)?))).collect();
        map.set(spots.iter().map(|(spot, _)| (*spot, State::Held)));
        map.set(spots.iter().copied());
        spots
            .iter()
            .map(|(spot, state)| (spot.row + usize::from(*state == State::Free)) as u64)
            .sum()
    })
}

/// A batch of wishes of which every fourth meets another: decided.
pub(crate) fn batch() -> Once {
    let ids = seeded();
    let (event_id, account_id) = (EventId::new(&ids, NOON), AccountId::new(&ids, NOON));
    let holds: Vec<HoldId> = (0..BATCH).map(|_| HoldId::new(&ids, NOON)).collect();
    let places: Vec<Places> = (0..BATCH)
        .map(|at| {
            let first = 2 * if at % 4 == 3 { at - 3 } else { at };
            let name = |number: usize| SeatRef::new("stalls", "1", &number.to_string()).ok();
            Places::seats([first + 1, first + 2].into_iter().filter_map(name).collect())
        })
        .collect();
    let known = Known::default();
    Box::new(move || {
        let asked = holds.iter().zip(&places).map(|(hold_id, places)| Asked {
            hold_id: *hold_id,
            event_id,
            account_id,
            fingerprint: "a wish",
            places,
            now: NOON,
        });
        let asked: Vec<_> = asked.collect();
        let granted = ticket::domain::batch::Verdict::Granted;
        decide(&asked, &known).iter().filter(|verdict| **verdict == granted).count() as u64
    })
}
