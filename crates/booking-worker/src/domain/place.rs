//! A place in a line: where it stands, and what becomes of it.

use std::time::Duration;

use kernel::{AccountId, BookingId, Choice, Timestamp};

/// An account's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) joined_at: Timestamp,
    pub(crate) standing: Standing,
}

/// Where a place stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Waiting,
    /// Its turn has come.
    Processing,
    Served(Outcome),
}

/// What became of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its account may book until then.
    Admitted { expires_at: Timestamp },
    /// Its wish is booked.
    Completed { booking: BookingId },
    /// Its wish can't be booked.
    Failed { reason: String },
    /// Its turn never came.
    Expired { reason: String },
}

/// A place whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) account: AccountId,
    /// What to book. Without, the account is admitted.
    pub(crate) wish: Option<Choice>,
    pub(crate) joined_at: Timestamp,
    /// How often it was this place's turn before.
    pub(crate) attempts: u32,
}

impl Outcome {
    /// Its name in metrics and messages.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Admitted { .. } => "admitted",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Expired { .. } => "expired",
        }
    }

    /// Until when its account can't take another place: as long as an admission is good, or, who
    /// has booked, would have been.
    pub(crate) fn holds_until(&self, now: Timestamp, admission_ttl: Duration) -> Timestamp {
        match self {
            Self::Admitted { expires_at } => *expires_at,
            Self::Completed { .. } => now.plus(admission_ttl),
            Self::Failed { .. } | Self::Expired { .. } => now,
        }
    }
}

/// How many are before number `number`, itself counted; 0: served.
pub(crate) const fn position(number: u64, serving: u64) -> u64 {
    number.saturating_sub(serving)
}

/// How long the place at `position` waits, about, where the line begins to move in `opens_in`.
pub(crate) fn wait(position: u64, per_minute: u32, opens_in: Duration) -> Duration {
    let rate = u64::from(per_minute.max(1));
    let moving = position.saturating_mul(60).div_ceil(rate);
    opens_in.saturating_add(Duration::from_secs(moving))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_what_the_rate_makes_of_the_position() {
        let seconds = |position, rate| wait(position, rate, Duration::ZERO).as_secs();
        assert_eq!([seconds(0, 60), seconds(1, 60), seconds(60, 60)], [0, 1, 60]);
        assert_eq!([seconds(1, 600), seconds(11, 600), seconds(5, 0)], [1, 2, 300]);
        assert_eq!(wait(2, 60, Duration::from_secs(100)).as_secs(), 102);
        assert!(seconds(u64::MAX, 1) > 0);
        assert_eq!([position(7, 5), position(5, 5), position(4, 5)], [2, 0, 0]);
    }
}
