//! What a buyer does and hears, and how it ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How places are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Seats picked on the map: which ones, this number decides.
    Seats(u64),
    Best,
    Admissions,
}

/// Places one would like to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) way: Way,
    pub(crate) places: u32,
    /// Counts the wishes of a life: the same number is the same wish, asked again.
    pub(crate) number: u32,
}

/// What a buyer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Takes a place in the queue.
    Join,
    /// Waits to be admitted, until then; and, unless it stays, only while there is something left.
    AwaitTurn { until: Duration, stays: bool },
    /// Gives the place up.
    Leave,
    /// Looks at what is free.
    Look,
    /// Asks for places.
    Book(Wish),
    /// Does something else until then.
    Pause { until: Duration },
    /// Pays, with a card that is good or not.
    Pay { good: bool },
    /// Waits for the tickets, until then.
    AwaitTickets { until: Duration },
    /// Is gone for good.
    Go(End),
}

/// What a buyer hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The doors: the beginning of a life.
    Arrived,
    /// There is a place in the queue; others are first.
    Queued,
    /// It is one's turn.
    Admitted,
    /// The line stands still: all is sold.
    Halted,
    /// The queue is closed for good.
    Closed,
    /// The time that was given is over.
    TimeUp,
    /// The place is given up.
    Left,
    /// So many places are free: seats, admissions.
    Free { seats: u32, admissions: u32 },
    /// The places are held; there may be nothing to pay.
    Held { free: bool },
    /// Somebody was quicker.
    SeatTaken,
    /// Nothing of the kind is left.
    SoldOut,
    /// Only for those who were admitted.
    NotAdmitted,
    /// One is to come again after this time.
    PutOff { after: Duration },
    /// No answer came.
    Lost,
    /// A refusal that no asking again will change.
    Refused,
    /// The card is good.
    Paid,
    /// The card is not.
    Declined,
    /// The hold was over before it was paid.
    Lapsed,
    /// The tickets are there.
    Ticketed,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With tickets.
    Ticketed,
    /// Everything was sold.
    SoldOut,
    /// Waited too long in the queue.
    GaveUp,
    /// Others were quicker, time and again.
    Outrun,
    /// Walked away from places that were held.
    Abandoned,
    /// No card was good.
    Declined,
    /// The hold was over before the card was found.
    Lapsed,
    /// Paid, and saw no tickets in time.
    Unticketed,
    /// Was put off, or not answered, too often.
    TurnedAway,
    /// Was refused what is refused to nobody.
    Refused,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ticketed => "ticketed",
            Self::SoldOut => "sold out",
            Self::GaveUp => "gave up",
            Self::Outrun => "outrun",
            Self::Abandoned => "abandoned",
            Self::Declined => "declined",
            Self::Lapsed => "lapsed",
            Self::Unticketed => "unticketed",
            Self::TurnedAway => "turned away",
            Self::Refused => "refused",
        })
    }
}
