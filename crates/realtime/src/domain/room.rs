//! Rooms, and places in the sequence of a room's messages.

use std::{fmt, str::FromStr};

use kernel::{AccountId, EventId};

/// Where messages go. As text: `event:{id}`, `user:{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Room {
    /// All who look at an event.
    Event(EventId),
    /// All connections of an account.
    User(AccountId),
}

/// A place in the sequence of a room's messages. As text, which clients hand back as it is:
/// `epoch:number`. An epoch begins with each room that is made, on each replica, so a place that
/// was given elsewhere or before a restart is recognised as unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seq {
    pub epoch: u64,
    pub number: u64,
}

/// The text is no room.
#[derive(Debug, thiserror::Error)]
#[error("a room is event:{{id}} or user:{{id}}")]
pub(crate) struct NoRoom;

/// The text is no place in a sequence.
#[derive(Debug, thiserror::Error)]
#[error("since is the seq of a frame, as it was given")]
pub(crate) struct NoSeq;

impl Room {
    /// Bits that are spread evenly over rooms.
    pub(crate) fn spread(self) -> usize {
        let uuid = match self {
            Self::Event(id) => id.uuid(),
            Self::User(id) => id.uuid(),
        };
        let [.., last] = uuid.into_bytes();
        usize::from(last)
    }

    /// The kind of room, for metrics.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::User(_) => "user",
        }
    }
}

impl FromStr for Room {
    type Err = NoRoom;

    fn from_str(text: &str) -> Result<Self, NoRoom> {
        match text.split_once(':') {
            Some(("event", id)) => id.parse().map(Self::Event).map_err(|_| NoRoom),
            Some(("user", id)) => id.parse().map(Self::User).map_err(|_| NoRoom),
            _ => Err(NoRoom),
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(id) => write!(f, "event:{id}"),
            Self::User(id) => write!(f, "user:{id}"),
        }
    }
}

impl FromStr for Seq {
    type Err = NoSeq;

    fn from_str(text: &str) -> Result<Self, NoSeq> {
        let (epoch, number) = text.split_once(':').ok_or(NoSeq)?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| NoSeq)?;
        Ok(Self { epoch, number: number.parse().map_err(|_| NoSeq)? })
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{}", self.epoch, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_and_sequences_are_read_as_they_are_written() {
        let id = "018f0000-0000-7000-8000-000000000001";
        for text in [format!("event:{id}"), format!("user:{id}")] {
            assert_eq!(text.parse::<Room>().unwrap().to_string(), text);
        }
        for text in ["", "event", "event:", "event:1", "lobby:1", id, "user:event:1", "Event:x"] {
            assert!(text.parse::<Room>().is_err(), "{text:?}");
        }
        let seq = Seq { epoch: u64::MAX, number: 7 };
        assert_eq!(seq.to_string().parse::<Seq>().unwrap(), seq);
        for text in ["", ":", "7", "g:1", "1:-1", "1:1:1", "10000000000000000:1"] {
            assert!(text.parse::<Seq>().is_err(), "{text:?}");
        }
    }
}
