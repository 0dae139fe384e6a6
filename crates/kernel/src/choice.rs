//! What a buyer wants of an event: chosen seats, the best that are free, or admissions.

use crate::{Failure, SeatRef};

/// A buyer's wish. Always asks for at least one place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Choice {
    /// These seats, each once.
    Seats(Vec<SeatRef>),
    /// The best seats still free, together where possible.
    BestAvailable {
        /// How many.
        quantity: u32,
        /// Only in this section.
        section: Option<String>,
        /// Only of this price category.
        category: Option<String>,
        /// How many of them are wheelchair places.
        wheelchair: u32,
    },
    /// Places without a number in a general-admission section.
    Admissions {
        /// The section's key.
        section: String,
        /// How many.
        quantity: u32,
    },
}

/// One place of an event: a numbered seat, or an admission to a section.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The section's key.
    pub section: String,
    /// The seat; none for an admission.
    pub seat: Option<SeatRef>,
    /// The price category's key.
    pub category: String,
    /// Whether it is a wheelchair place.
    pub wheelchair: bool,
}

/// The most places anybody may ask for at once, whatever an event allows.
pub const MAX_PLACES: u32 = 100;

impl Choice {
    /// How many places it asks for.
    #[must_use]
    pub fn quantity(&self) -> u32 {
        match self {
            Self::Seats(seats) => u32::try_from(seats.len()).unwrap_or(u32::MAX),
            Self::BestAvailable { quantity, .. } | Self::Admissions { quantity, .. } => *quantity,
        }
    }

    /// The choice itself, if it makes sense at all.
    ///
    /// # Errors
    /// If it asks for nothing, for more than [`MAX_PLACES`], for a seat twice, for more wheelchair
    /// places than places, leaves an admission's section out, or names what can't be a key.
    pub fn checked(self) -> Result<Self, Failure> {
        if self.quantity() == 0 {
            return Err(Failure::invalid("choice", "asks for no place"));
        }
        if self.quantity() > MAX_PLACES {
            return Err(Failure::invalid("choice", format!("at most {MAX_PLACES} places")));
        }
        match &self {
            Self::Seats(seats) => {
                let mut sorted: Vec<_> = seats.iter().collect();
                sorted.sort_unstable();
                if let Some(seat) = sorted.windows(2).find(|pair| pair.first() == pair.last()) {
                    return Err(Failure::invalid("choice.seats", format!("{seat:?} twice")));
                }
            }
            Self::BestAvailable { quantity, wheelchair, .. } if wheelchair > quantity => {
                return Err(Failure::invalid(
                    "choice.best_available.wheelchair",
                    "more than the quantity",
                ));
            }
            Self::Admissions { section, .. } if section.is_empty() => {
                return Err(Failure::invalid("choice.admissions.section", "is required"));
            }
            _ => {}
        }
        let keys = match &self {
            Self::Seats(_) => [None, None],
            Self::BestAvailable { section, category, .. } => [section.as_ref(), category.as_ref()],
            Self::Admissions { section, .. } => [Some(section), None],
        };
        // Not every database keeps these, and no key has them.
        if keys.into_iter().flatten().any(|key| key.contains(char::is_control)) {
            return Err(Failure::invalid("choice", "no key has control characters"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_that_make_no_sense_are_refused() {
        let seat: SeatRef = "stalls/A/1".parse().unwrap();
        let best = |quantity, wheelchair| Choice::BestAvailable {
            quantity,
            section: None,
            category: None,
            wheelchair,
        };
        assert!(Choice::Seats(vec![]).checked().is_err());
        assert!(Choice::Seats(vec![seat.clone(), seat.clone()]).checked().is_err());
        assert!(Choice::Seats(vec![seat]).checked().is_ok());
        assert!(best(0, 0).checked().is_err());
        assert!(best(1, 2).checked().is_err());
        assert!(best(MAX_PLACES, 0).checked().is_ok());
        assert!(best(MAX_PLACES + 1, 0).checked().is_err());
        let entry = |section: &str| Choice::Admissions { section: section.into(), quantity: 1 };
        assert!(entry("floor").checked().is_ok());
        assert!(entry("").checked().is_err() && entry("flo\0or").checked().is_err());
        let of = |section: &str, category: &str| Choice::BestAvailable {
            quantity: 1,
            section: Some(section.to_owned()),
            category: Some(category.to_owned()),
            wheelchair: 0,
        };
        assert!(of("stalls", "first").checked().is_ok());
        assert!(of("stalls\n", "first").checked().is_err());
        assert!(of("stalls", "\0").checked().is_err());
    }
}
