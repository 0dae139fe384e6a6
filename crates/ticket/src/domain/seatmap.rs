//! The seats of an event in memory: what is free, row by row. It chooses well and may be wrong; the
//! database decides.

use std::sync::Arc;

use kernel::{EventId, SeatRef};

use super::plan::{Plan, Spot};

/// What a seat is, as far as the map knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// To be had.
    Free,
    /// Chosen for a request that is being decided.
    Chosen,
    /// Set aside.
    Held,
    /// Sold.
    Sold,
}

/// A seat of the map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) state: State,
    pub(super) wheelchair: bool,
}

impl Seat {
    /// Whether anybody may have it without asking for a wheelchair place.
    pub(super) fn is_open(self) -> bool {
        self.state == State::Free && !self.wheelchair
    }

    pub(super) fn is_open_wheelchair(self) -> bool {
        self.state == State::Free && self.wheelchair
    }
}

/// Sums of a row, so that choosing looks into few rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// Seats that anybody may have.
    pub(super) open: usize,
    /// The most of them side by side.
    pub(super) longest: usize,
    /// Wheelchair places that are free.
    pub(super) wheelchair: usize,
}

/// The seats of an event.
#[derive(Debug)]
pub struct SeatMap {
    plan: Arc<Plan>,
    rows: Vec<Vec<Seat>>,
    /// Of each row. Two thousand of them are looked through in a few microseconds.
    pub(super) sums: Vec<Sums>,
    chosen: usize,
}

impl SeatMap {
    /// A map with every seat free.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let row = |at: usize| {
            let Some((_, row)) = plan.row(at) else { return Vec::new() };
            let seat = |offset| Seat { state: State::Free, wheelchair: row.is_wheelchair(offset) };
            (0..row.seats as usize).map(seat).collect::<Vec<_>>()
        };
        let rows: Vec<_> = (0..plan.row_count()).map(row).collect();
        let sums = rows.iter().map(|row| sums(row)).collect();
        Self { plan, rows, sums, chosen: 0 }
    }

    /// The plan behind it.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// How many seats are chosen and not decided.
    #[must_use]
    pub const fn chosen(&self) -> usize {
        self.chosen
    }

    /// What the seat at `spot` is.
    #[must_use]
    pub fn state(&self, spot: Spot) -> Option<State> {
        Some(self.rows.get(spot.row)?.get(spot.offset)?.state)
    }

    /// Notes what these seats are now.
    pub fn set(&mut self, spots: impl IntoIterator<Item = (Spot, State)>) {
        let mut touched: Option<usize> = None;
        for (spot, state) in spots {
            if touched.is_some_and(|row| row != spot.row) {
                self.sum_up(touched.take());
            }
            let seat = self.rows.get_mut(spot.row).and_then(|row| row.get_mut(spot.offset));
            let Some(seat) = seat else { continue };
            self.chosen += usize::from(state == State::Chosen);
            self.chosen -= usize::from(seat.state == State::Chosen);
            seat.state = state;
            touched = Some(spot.row);
        }
        self.sum_up(touched);
    }

    /// Frees those of `spots` that are still only chosen.
    pub fn give_up(&mut self, spots: &[Spot]) {
        let only_chosen = |spot: &&Spot| self.state(**spot) == Some(State::Chosen);
        let freed: Vec<_> = spots.iter().filter(only_chosen).map(|s| (*s, State::Free)).collect();
        self.set(freed);
    }

    /// Every seat that is not free, in the order of the plan.
    pub fn taken(&self) -> impl Iterator<Item = (Spot, State)> {
        self.rows.iter().enumerate().flat_map(|(row, seats)| {
            let seats = seats.iter().enumerate();
            seats
                .filter(|(_, seat)| seat.state != State::Free)
                .map(move |(offset, seat)| (Spot { row, offset }, seat.state))
        })
    }

    pub(super) fn seats(&self, row: usize) -> &[Seat] {
        self.rows.get(row).map(Vec::as_slice).unwrap_or_default()
    }

    fn sum_up(&mut self, row: Option<usize>) {
        let Some(row) = row else { return };
        if let (Some(slot), Some(seats)) = (self.sums.get_mut(row), self.rows.get(row)) {
            *slot = sums(seats);
        }
    }
}

fn sums(seats: &[Seat]) -> Sums {
    let mut sums = Sums::default();
    let mut run = 0;
    for seat in seats {
        sums.wheelchair += usize::from(seat.is_open_wheelchair());
        if seat.is_open() {
            run += 1;
            sums.open += 1;
            sums.longest = sums.longest.max(run);
        } else {
            run = 0;
        }
    }
    sums
}

/// What one committed transaction changed of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The event.
    pub event_id: EventId,
    /// The event's version after it.
    pub version: i64,
    /// Places that are neither held nor sold, after it.
    pub available: i64,
    /// What seats became.
    pub seats: Vec<(SeatRef, State)>,
}
