//! The state machine of an event. Whatever changes a status asks here.

/// Where an event is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    /// Only its organization sees it.
    Draft,
    /// Public; its sale has not begun.
    Published,
    /// Its sale has begun. Whether it is still open is a question of time.
    OnSale,
    /// Every place is sold; one may come back.
    SoldOut,
    /// Over.
    Ended,
    /// Will take place at another time.
    Postponed,
    /// Will not take place.
    Cancelled,
}

/// A step that the machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event that is {} can't become {}", .from.as_str(), .to.as_str())]
pub(crate) struct Refusal {
    pub(crate) from: Status,
    pub(crate) to: Status,
}

impl Status {
    pub(crate) const ALL: [Self; 7] = [
        Self::Draft,
        Self::Published,
        Self::OnSale,
        Self::SoldOut,
        Self::Ended,
        Self::Postponed,
        Self::Cancelled,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::OnSale => "on_sale",
            Self::SoldOut => "sold_out",
            Self::Ended => "ended",
            Self::Postponed => "postponed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether tickets may be sold in this status, given that the time is right.
    pub(crate) const fn sells(self) -> bool {
        matches!(self, Self::Published | Self::OnSale | Self::SoldOut)
    }

    /// Whether nothing follows.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Cancelled)
    }
}

/// The status after this step.
pub(crate) fn step(from: Status, to: Status) -> Result<Status, Refusal> {
    use Status::{Cancelled, Draft, Ended, OnSale, Postponed, Published, SoldOut};
    let allowed = match (from, to) {
        (Draft, Published)
        | (Published, OnSale)
        | (OnSale, SoldOut)
        | (SoldOut, OnSale)
        | (Published | OnSale | SoldOut, Ended)
        | (Postponed, Published) => true,
        (from, Postponed) => !from.is_final() && from != Postponed,
        (from, Cancelled) => !from.is_final(),
        _ => false,
    };
    if allowed { Ok(to) } else { Err(Refusal { from, to }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_steps_of_the_machine_are_taken() {
        use Status::{Cancelled, Draft, Ended, OnSale, Postponed, Published, SoldOut};
        let steps: &[(Status, &[Status])] = &[
            (Draft, &[Published, Postponed, Cancelled]),
            (Published, &[OnSale, Ended, Postponed, Cancelled]),
            (OnSale, &[SoldOut, Ended, Postponed, Cancelled]),
            (SoldOut, &[OnSale, Ended, Postponed, Cancelled]),
            (Ended, &[]),
            (Postponed, &[Published, Cancelled]),
            (Cancelled, &[]),
        ];
        for (from, allowed) in steps {
            for to in Status::ALL {
                let expected =
                    if allowed.contains(&to) { Ok(to) } else { Err(Refusal { from: *from, to }) };
                assert_eq!(step(*from, to), expected, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn every_status_is_read_back_from_its_text() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("active"), None);
    }
}
