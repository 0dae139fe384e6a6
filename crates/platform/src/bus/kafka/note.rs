//! What is committed beside an offset: which events behind it are not done, and how often they were
//! tried. Kafka keeps it as a text of at most 4 KB.
//!
//! `1 120 0:3:1 7:0:0` at offset 100 says: of 100..120 all are done but 100, tried three times,
//! once of them to its own fault, and 107.

use std::collections::BTreeMap;

/// The longest note; brokers refuse more than 4,096 bytes.
const LONGEST: usize = 3_800;

/// How often an event was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tries {
    pub(super) attempts: u32,
    /// How many of the attempts were not only due to a part that was down.
    pub(super) faults: u32,
}

/// What is known of the events from the committed offset on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Nothing is known of this event and those behind it.
    pub(super) until: i64,
    /// Before that, these are not done, and all others are.
    pub(super) open: BTreeMap<i64, Tries>,
}

impl Note {
    /// The note to commit at `offset`, if all before `next` are done but `open`. It tells as much
    /// as there is room for; empty, where the offset says it all.
    pub(super) fn text(offset: i64, next: i64, open: &BTreeMap<i64, Tries>) -> String {
        let mut entries = String::new();
        let (mut until, mut told, mut told_length) = (offset, offset, 0);
        for (event, tries) in open {
            let Tries { attempts, faults } = tries;
            let length = entries.len();
            entries.push_str(&format!(" {}:{attempts}:{faults}", event - offset));
            if entries.len() > LONGEST {
                entries.truncate(length);
                return Self::short(entries, told_length, *event, until, told);
            }
            // What is untried and has nothing done before it need not be told.
            if *event > until || *attempts > 0 {
                (told, told_length) = (event + 1, entries.len());
            }
            until = event + 1;
        }
        Self::short(entries, told_length, next, until, told)
    }

    /// Leaves out the untried events at the end, if nothing before `end` is done behind them.
    fn short(mut entries: String, told_length: usize, end: i64, until: i64, told: i64) -> String {
        let mut known = end;
        if end == until {
            entries.truncate(told_length);
            known = told;
        }
        if entries.is_empty() { String::new() } else { format!("1 {known}{entries}") }
    }

    /// What a note at `offset` says. One that can't be read says nothing: events are handled again.
    pub(super) fn read(offset: i64, text: &str) -> Self {
        Self::parse(offset, text).unwrap_or(Self { until: offset, open: BTreeMap::new() })
    }

    fn parse(offset: i64, text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("1 ")?.split(' ');
        let until = words.next()?.parse().ok()?;
        let entry = |word: &str| {
            let mut numbers = word.split(':');
            let event = offset.checked_add(numbers.next()?.parse().ok()?)?;
            let attempts = numbers.next()?.parse().ok()?;
            let faults = numbers.next()?.parse().ok()?;
            Some((event, Tries { attempts, faults }))
        };
        Some(Self { until, open: words.map(entry).collect::<Option<_>>()? })
    }

    /// Whether it says that an event is done.
    pub(super) fn is_done(&self, event: i64) -> bool {
        event < self.until && !self.open.contains_key(&event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(events: &[(i64, u32)]) -> BTreeMap<i64, Tries> {
        let tries = |attempts| Tries { attempts, faults: attempts / 2 };
        events.iter().map(|(event, attempts)| (*event, tries(*attempts))).collect()
    }

    #[test]
    fn a_note_tells_what_is_done_behind_the_offset_and_how_often_the_rest_was_tried() {
        let events = open(&[(100, 3), (107, 0), (118, 0), (119, 0)]);
        let text = Note::text(100, 120, &events);
        assert_eq!(text, "1 119 0:3:1 7:0:0 18:0:0");
        let note = Note::read(100, &text);
        assert_eq!(note.open, open(&[(100, 3), (107, 0), (118, 0)]));
        let done: Vec<_> = (98..125).filter(|event| note.is_done(*event)).collect();
        let expected: Vec<_> = (98..118).filter(|event| ![100, 107].contains(event)).collect();
        assert_eq!(done, expected);
        // All behind the last one that is open is done too.
        assert_eq!(Note::text(100, 130, &events), "1 130 0:3:1 7:0:0 18:0:0 19:0:0");
    }

    #[test]
    fn where_the_offset_says_it_all_there_is_no_note() {
        assert_eq!(Note::text(100, 100, &BTreeMap::new()), "");
        assert_eq!(Note::text(100, 103, &open(&[(100, 0), (101, 0), (102, 0)])), "");
        for text in ["", "1 ", "2 100", "1 120 0:x:0", "1 120 0", "nonsense"] {
            assert_eq!(Note::read(100, text), Note { until: 100, ..Note::default() }, "{text}");
        }
    }

    #[test]
    fn a_note_that_would_be_too_long_says_less_but_nothing_wrong() {
        let events = open(&(0..5_000).map(|n| (n * 2, 1)).collect::<Vec<_>>());
        let text = Note::text(0, 10_000, &events);
        assert!(text.len() < 4_000, "{}", text.len());
        let note = Note::read(0, &text);
        assert!(note.until > 500 && note.open.len() > 300, "{}", note.until);
        assert!((0..10_000).all(|event| !note.is_done(event) || !events.contains_key(&event)));
        assert!(note.is_done(1) && !note.is_done(note.until));
    }
}
