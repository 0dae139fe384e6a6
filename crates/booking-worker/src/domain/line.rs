//! What a line goes by, as its event has it, and whether it moves.

use std::time::Duration;

use kernel::Timestamp;

/// The line of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// The version of the event that this is from.
    pub(crate) version: i64,
    /// Whether buyers queue.
    pub(crate) queue: bool,
    pub(crate) admissions_per_minute: u32,
    /// How long an admission is good for.
    pub(crate) admission_ttl: Duration,
    pub(crate) sale_starts_at: Timestamp,
    pub(crate) sale_ends_at: Timestamp,
    /// The most places a booking may ask for; 0: any number.
    pub(crate) max_per_booking: u32,
    pub(crate) sale: Sale,
}

/// What the event says of its sale, apart from its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sale {
    On,
    /// Everything is sold; something may come back.
    SoldOut,
    /// The event will take place at another time.
    Postponed,
    /// The event has ended, or will not take place.
    Over,
}

/// Whether a line moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// At the event's rate.
    Open,
    /// As fast as it can: the event has left queue mode, and whoever waits needs not to.
    Free,
    /// Not now.
    Shut(Shut),
    /// Never again.
    Over,
}

/// Why a line does not move now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shut {
    NotOpen,
    SoldOut,
    Postponed,
}

impl Shut {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NotOpen => "SALE_NOT_OPEN",
            Self::SoldOut => "SOLD_OUT",
            Self::Postponed => "POSTPONED",
        }
    }
}

impl Gate {
    /// Why nobody is served, if so.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Open | Self::Free => None,
            Self::Shut(shut) => Some(shut.reason()),
            Self::Over => Some("SALE_OVER"),
        }
    }
}

impl Line {
    pub(crate) fn gate(&self, now: Timestamp) -> Gate {
        if self.sale == Sale::Over || now >= self.sale_ends_at {
            return Gate::Over;
        }
        match self.sale {
            Sale::Postponed => Gate::Shut(Shut::Postponed),
            _ if now < self.sale_starts_at => Gate::Shut(Shut::NotOpen),
            Sale::SoldOut => Gate::Shut(Shut::SoldOut),
            _ if self.queue => Gate::Open,
            _ => Gate::Free,
        }
    }

    /// What this line becomes with news from its event. One that leaves queue mode keeps its
    /// rate and the time of its admissions, for those who still wait.
    pub(crate) fn renewed(self, news: Self) -> Self {
        if self.version > news.version {
            return self;
        }
        if news.queue {
            return news;
        }
        let Self { admissions_per_minute, admission_ttl, .. } = self;
        Self { admissions_per_minute, admission_ttl, ..news }
    }

    /// What this line becomes when its event is sold out, or back on sale, as of `version` (0: not
    /// known); none: what it is.
    pub(crate) fn sold(self, out: bool, version: i64) -> Option<Self> {
        if version != 0 && version < self.version {
            return None;
        }
        let sale = match (self.sale, out) {
            (Sale::On, true) => Sale::SoldOut,
            (Sale::SoldOut, false) => Sale::On,
            _ => return None,
        };
        Some(Self { sale, version: self.version.max(version), ..self })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn line(sale: Sale, queue: bool) -> Line {
        Line {
            version: 3,
            queue,
            admissions_per_minute: 60,
            admission_ttl: Duration::from_secs(300),
            sale_starts_at: at(100),
            sale_ends_at: at(200),
            max_per_booking: 10,
            sale,
        }
    }

    #[test]
    fn a_line_moves_while_its_sale_is_open_and_something_is_left() {
        let gates = |sale, queue| [99, 100, 199, 200].map(|now| line(sale, queue).gate(at(now)));
        let (not_open, over) = (Gate::Shut(Shut::NotOpen), Gate::Over);
        assert_eq!(gates(Sale::On, true), [not_open, Gate::Open, Gate::Open, over]);
        assert_eq!(gates(Sale::On, false), [not_open, Gate::Free, Gate::Free, over]);
        let (sold_out, postponed) = (Gate::Shut(Shut::SoldOut), Gate::Shut(Shut::Postponed));
        assert_eq!(gates(Sale::SoldOut, true), [not_open, sold_out, sold_out, over]);
        assert_eq!(gates(Sale::Postponed, true), [postponed, postponed, postponed, over]);
        assert_eq!(gates(Sale::Over, true), [over; 4]);
    }

    #[test]
    fn the_newest_word_on_what_is_left_decides_however_often_and_late_others_come() {
        let sold_out = line(Sale::On, true).sold(true, 4).unwrap();
        assert_eq!((sold_out.sale, sold_out.version), (Sale::SoldOut, 4));
        let back = sold_out.sold(false, 5).unwrap();
        assert_eq!((back.sale, back.version), (Sale::On, 5));
        assert_eq!(back.sold(true, 4), None, "again, or late");
        assert_eq!(back.sold(false, 5), None);
        assert_eq!(back.sold(true, 0).unwrap().sale, Sale::SoldOut, "without a version it counts");
        assert_eq!(line(Sale::Over, true).sold(false, 9), None);
    }

    #[test]
    fn old_news_changes_nothing_and_leaving_queue_mode_keeps_the_rate() {
        let known = line(Sale::On, true);
        let old = Line { version: 2, admissions_per_minute: 1, ..known };
        assert_eq!(known.renewed(old), known);
        let faster = Line { version: 4, admissions_per_minute: 600, ..known };
        assert_eq!(known.renewed(faster), faster);
        let none = Duration::ZERO;
        let off = Line { queue: false, admissions_per_minute: 0, admission_ttl: none, ..known };
        assert_eq!(known.renewed(off), Line { queue: false, ..known });
    }
}
