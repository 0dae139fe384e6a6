//! The platform as a few numbers: what is free, what is held until when, who waits.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use crate::{
    Scenario,
    dice::Dice,
    model::{Heard, Way, Wish},
};

/// How far the map that buyers look at is behind.
const MAP_PERIOD: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Sold,
    Lapsed,
}

struct Hold {
    places: u32,
    admissions: bool,
    state: State,
}

/// What is sold, and to whom it is open.
pub(super) struct House {
    seats: u32,
    admissions: u32,
    holds: Vec<Hold>,
    pub(super) line: Line,
    map: Map,
}

/// The map as it was last read.
struct Map {
    read_at: Duration,
    free: u32,
}

/// The queue.
pub(super) struct Line {
    waiting: VecDeque<u32>,
    left: HashSet<u32>,
    /// Turns a second.
    rate: f64,
    bucket: f64,
    halted: bool,
    longest: usize,
}

impl House {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let seats = scenario.seats();
        Self {
            seats,
            admissions: scenario.places - seats,
            holds: Vec::new(),
            line: Line {
                waiting: VecDeque::new(),
                left: HashSet::new(),
                rate: f64::from(scenario.admissions_per_minute) / 60.0,
                bucket: 0.0,
                halted: false,
                longest: 0,
            },
            map: Map { read_at: Duration::ZERO, free: seats },
        }
    }

    /// Free seats and free admissions.
    pub(super) fn free(&self) -> [u32; 2] {
        [self.seats, self.admissions]
    }

    pub(super) fn is_sold_out(&self) -> bool {
        self.seats + self.admissions == 0
    }

    /// Whether there is what is wished for.
    pub(super) fn has(&self, wish: Wish) -> bool {
        let free = if wish.way == Way::Admissions { self.admissions } else { self.seats };
        free >= wish.places
    }

    /// Holds places, or says why not. Who picks seats on the map meets those who were quicker since
    /// it was read.
    pub(super) fn holds(
        &mut self,
        now: Duration,
        wish: Wish,
        dice: &mut Dice,
    ) -> Result<u32, Heard> {
        let admissions = wish.way == Way::Admissions;
        if !self.has(wish) {
            let picks = matches!(wish.way, Way::Seats(_));
            return Err(if picks { Heard::SeatTaken } else { Heard::SoldOut });
        }
        if let Way::Seats(_) = wish.way {
            if now >= self.map.read_at + MAP_PERIOD {
                self.map = Map { read_at: now, free: self.seats };
            }
            let still = f64::from(self.seats) / f64::from(self.map.free.max(1));
            if dice.chance(1.0 - still.min(1.0)) {
                return Err(Heard::SeatTaken);
            }
        }
        *(if admissions { &mut self.admissions } else { &mut self.seats }) -= wish.places;
        let hold = Hold { places: wish.places, admissions, state: State::Held };
        self.holds.push(hold);
        Ok(u32::try_from(self.holds.len() - 1).unwrap_or(u32::MAX))
    }

    /// The time of a hold is over; whether that frees places.
    pub(super) fn expires(&mut self, hold: u32) -> bool {
        let Some(hold) = self.holds.get_mut(hold as usize) else { return false };
        if hold.state != State::Held {
            return false;
        }
        hold.state = State::Lapsed;
        *(if hold.admissions { &mut self.admissions } else { &mut self.seats }) += hold.places;
        true
    }

    pub(super) fn is_held(&self, hold: u32) -> bool {
        self.holds.get(hold as usize).is_some_and(|hold| hold.state == State::Held)
    }

    /// A hold becomes tickets; whether it still could.
    pub(super) fn sells(&mut self, hold: u32) -> bool {
        let Some(hold) = self.holds.get_mut(hold as usize) else { return false };
        if hold.state == State::Held {
            hold.state = State::Sold;
        }
        hold.state == State::Sold
    }

    /// Places that are sold.
    pub(super) fn sold(&self) -> u64 {
        let sold = self.holds.iter().filter(|hold| hold.state == State::Sold);
        sold.map(|hold| u64::from(hold.places)).sum()
    }
}

impl Line {
    /// Takes a place; who has one keeps it.
    pub(super) fn join(&mut self, buyer: u32) {
        if !self.left.remove(&buyer) {
            self.waiting.push_back(buyer);
        }
        self.longest = self.longest.max(self.waiting.len() - self.left.len());
    }

    /// Gives a place up.
    pub(super) fn leave(&mut self, buyer: u32) {
        self.left.insert(buyer);
    }

    /// How many turns this time brings; a second's worth is saved up at most.
    pub(super) fn turns(&mut self, time: Duration) -> u32 {
        self.bucket = (self.bucket + self.rate * time.as_secs_f64()).min(self.rate.max(1.0));
        let turns = self.bucket.floor();
        self.bucket -= turns;
        turns as u32
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<u32> {
        loop {
            let buyer = self.waiting.pop_front()?;
            if !self.left.remove(&buyer) {
                return Some(buyer);
            }
        }
    }

    /// Stands still; whether it went on before.
    pub(super) fn halts(&mut self) -> bool {
        !std::mem::replace(&mut self.halted, true)
    }

    pub(super) fn goes_on(&mut self) {
        self.halted = false;
    }

    /// The most that waited at once.
    pub(super) fn longest(&self) -> u64 {
        self.longest as u64
    }
}
