//! What a buyer points at: a numbered seat of a section.

use std::{fmt, str::FromStr};

/// One numbered seat, unique in its event: section key, row and seat number. As text `stalls/C/12`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatRef(Box<str>);

/// The text is not a seat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a seat: expected section/row/number")]
pub struct SeatRefError(String);

/// The longest seat reference, in bytes.
const MAX_BYTES: usize = 96;

impl SeatRef {
    /// A seat from its parts.
    ///
    /// # Errors
    /// If a part is empty, too long, or has a character other than letters, digits, `-`, `_` and
    /// `.`.
    pub fn new(section: &str, row: &str, number: &str) -> Result<Self, SeatRefError> {
        format!("{section}/{row}/{number}").parse()
    }

    /// The whole reference, `section/row/number`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The section's key.
    #[must_use]
    pub fn section(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The row's name.
    #[must_use]
    pub fn row(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// The seat's number in its row.
    #[must_use]
    pub fn number(&self) -> &str {
        self.0.split('/').nth(2).unwrap_or_default()
    }
}

impl FromStr for SeatRef {
    type Err = SeatRefError;

    fn from_str(text: &str) -> Result<Self, SeatRefError> {
        let refused = || SeatRefError(text.chars().take(MAX_BYTES).collect());
        let allowed = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        if text.len() > MAX_BYTES || text.split('/').count() != 3 || !text.split('/').all(allowed) {
            return Err(refused());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SeatRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SeatRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_has_exactly_three_named_parts() {
        let seat = SeatRef::new("stalls", "C", "12").unwrap();
        assert_eq!((seat.section(), seat.row(), seat.number()), ("stalls", "C", "12"));
        for text in ["", "a/b", "a/b/c/d", "a//c", "a/b/ c", "a/b/'", &"x".repeat(200)] {
            assert!(text.parse::<SeatRef>().is_err(), "{text:?}");
        }
    }
}
