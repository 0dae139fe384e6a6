//! A hold: places set aside for an account until a moment.

use std::fmt;

use kernel::{AccountId, EventId, HoldId, Place, SeatRef, Timestamp};

use super::plan::{Plan, Spot};

/// What became of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldStatus {
    /// Its places are set aside.
    Held,
    /// Its places are sold.
    Issued,
    /// Its places were given back.
    Released,
    /// It lapsed, and its places were given back.
    Expired,
}

impl HoldStatus {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Issued => "issued",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Held, Self::Issued, Self::Released, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

impl fmt::Display for HoldStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The places of a hold, all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// These seats, sorted.
    Seats(Vec<SeatRef>),
    /// Admissions to one section.
    Admissions {
        /// The section's key.
        section: String,
        /// How many.
        quantity: u32,
    },
}

impl Places {
    /// Seats, in the order that all statements take them in.
    #[must_use]
    pub fn seats(mut seats: Vec<SeatRef>) -> Self {
        seats.sort_unstable();
        Self::Seats(seats)
    }

    /// How many places they are.
    #[must_use]
    pub fn quantity(&self) -> u32 {
        match self {
            Self::Seats(seats) => u32::try_from(seats.len()).unwrap_or(u32::MAX),
            Self::Admissions { quantity, .. } => *quantity,
        }
    }

    /// The seats among them.
    #[must_use]
    pub fn as_seats(&self) -> &[SeatRef] {
        match self {
            Self::Seats(seats) => seats,
            Self::Admissions { .. } => &[],
        }
    }

    /// How many places of which section, sorted by section.
    #[must_use]
    pub fn by_section(&self) -> Vec<(&str, i64)> {
        match self {
            Self::Admissions { section, quantity } => vec![(section, i64::from(*quantity))],
            Self::Seats(seats) => {
                let mut counts: Vec<(&str, i64)> = Vec::new();
                for seat in seats {
                    match counts.iter_mut().find(|(section, _)| *section == seat.section()) {
                        Some((_, count)) => *count += 1,
                        None => counts.push((seat.section(), 1)),
                    }
                }
                counts.sort_unstable();
                counts
            }
        }
    }

    /// Each place with its price category, in the order of the plan. Seats that it has not are left
    /// out.
    #[must_use]
    pub fn expand(&self, plan: &Plan) -> Vec<Place> {
        match self {
            Self::Seats(seats) => {
                let mut places: Vec<(Spot, Place)> = seats
                    .iter()
                    .filter_map(|seat| Some((plan.find(seat)?, plan.place(seat)?)))
                    .collect();
                places.sort_by_key(|(spot, _)| *spot);
                places.into_iter().map(|(_, place)| place).collect()
            }
            Self::Admissions { section, quantity } => {
                let category =
                    plan.section(section).map(|found| found.category.clone()).unwrap_or_default();
                let place =
                    Place { section: section.clone(), seat: None, category, wheelchair: false };
                vec![place; *quantity as usize]
            }
        }
    }
}

/// Places set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Names it; made by the caller.
    pub hold_id: HoldId,
    /// The event.
    pub event_id: EventId,
    /// For whom.
    pub account_id: AccountId,
    /// A digest of what was asked for, so that a repeat is told from a misuse.
    pub fingerprint: String,
    /// What it holds.
    pub places: Places,
    /// What became of it.
    pub status: HoldStatus,
    /// Until when.
    pub expires_at: Timestamp,
}
