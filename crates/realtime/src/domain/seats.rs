//! Changes of an event's places that meet are told as one: a rush of thousands of holds a second
//! must not become thousands of frames for everybody who looks at the plan.

use std::collections::{BTreeMap, HashMap};

use kernel::EventId;

/// The most entries that are gathered; then they are told though the window is still open. Keeps
/// frames within some 8 KiB.
const MAX_GATHERED: usize = 128;

/// What happened to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Reserved,
    Released,
    Sold,
}

/// A seat, or a number of admissions to a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub section: String,
    /// `section/row/number`; none for admissions.
    pub seat: Option<String>,
    /// 1 for a seat.
    pub quantity: u32,
}

/// One change as ticket-service tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub change: Change,
    pub spots: Vec<Spot>,
    /// Places of the event that are free after this.
    pub available: i64,
}

/// Changes that met. A seat is in it once, with the last that happened to it.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    seats: BTreeMap<String, (Change, String)>,
    admissions: BTreeMap<(Change, String), u32>,
    available: i64,
}

/// Events whose places changed a moment ago. The first change of a quiet event is told at once,
/// what follows is gathered until the next tick.
#[derive(Debug, Default)]
pub(crate) struct Window(HashMap<EventId, Gathered>);

impl Gathered {
    fn add(&mut self, changed: Changed) {
        let Changed { change, spots, available } = changed;
        self.available = available;
        for Spot { section, seat, quantity } in spots {
            match seat {
                Some(seat) => {
                    self.seats.insert(seat, (change, section));
                }
                None => *self.admissions.entry((change, section)).or_default() += quantity,
            }
        }
    }

    fn size(&self) -> usize {
        self.seats.len() + self.admissions.len()
    }

    /// Places of the event that are free after all of this.
    pub(crate) fn available(&self) -> i64 {
        self.available
    }

    /// The spots to which `change` happened last.
    pub(crate) fn spots(&self, change: Change) -> Vec<Spot> {
        let seats = self.seats.iter().filter(|(_, (last, _))| *last == change);
        let seats = seats.map(|(seat, (_, section))| Spot {
            section: section.clone(),
            seat: Some(seat.clone()),
            quantity: 1,
        });
        let admissions = self.admissions.iter().filter(|((of, _), _)| *of == change);
        let admissions = admissions.map(|((_, section), quantity)| Spot {
            section: section.clone(),
            seat: None,
            quantity: *quantity,
        });
        seats.chain(admissions).collect()
    }
}

impl Window {
    /// Takes a change in; answers what is to be told at once.
    pub(crate) fn add(&mut self, event: EventId, changed: Changed) -> Option<Gathered> {
        match self.0.get_mut(&event) {
            None => {
                self.0.insert(event, Gathered::default());
                let mut first = Gathered::default();
                first.add(changed);
                Some(first)
            }
            Some(gathered) => {
                gathered.add(changed);
                (gathered.size() >= MAX_GATHERED).then(|| std::mem::take(gathered))
            }
        }
    }

    /// What was gathered since the last tick. Events that were quiet since are forgotten.
    pub(crate) fn tick(&mut self) -> Vec<(EventId, Gathered)> {
        self.0.retain(|_, gathered| gathered.size() > 0);
        self.0.iter_mut().map(|(event, gathered)| (*event, std::mem::take(gathered))).collect()
    }

    /// Whether no event is waiting for a tick.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(change: Change, seat: &str, available: i64) -> Changed {
        let seat = Some(seat.to_owned());
        Changed { change, spots: vec![Spot { section: "A".into(), seat, quantity: 1 }], available }
    }

    fn admissions(change: Change, quantity: u32, available: i64) -> Changed {
        Changed {
            change,
            spots: vec![Spot { section: "floor".into(), seat: None, quantity }],
            available,
        }
    }

    fn seats(gathered: &Gathered, change: Change) -> Vec<String> {
        gathered.spots(change).into_iter().filter_map(|spot| spot.seat).collect()
    }

    #[test]
    fn the_first_change_is_told_at_once_and_those_that_follow_as_one() {
        use Change::{Released, Reserved, Sold};
        let event = EventId::from_uuid(uuid(1));
        let mut window = Window::default();
        let first = window.add(event, seat(Reserved, "A/1/1", 9)).expect("told at once");
        assert_eq!((seats(&first, Reserved), first.available()), (vec!["A/1/1".to_owned()], 9));

        for changed in [
            seat(Reserved, "A/1/2", 8),
            seat(Released, "A/1/1", 9),
            seat(Sold, "A/1/2", 9),
            admissions(Reserved, 2, 7),
            admissions(Reserved, 3, 4),
            admissions(Released, 1, 5),
        ] {
            assert!(window.add(event, changed).is_none());
        }
        let mut told = window.tick();
        let (_, met) = told.pop().expect("gathered");
        assert_eq!(
            (seats(&met, Released), seats(&met, Sold)),
            (vec!["A/1/1".into()], vec!["A/1/2".into()])
        );
        let quantities = |change| met.spots(change).iter().map(|spot| spot.quantity).sum::<u32>();
        assert_eq!((quantities(Reserved), met.available()), (5, 5));
        assert_eq!(met.spots(Released).len(), 2, "one seat, and admissions to one section");

        assert!(!window.is_empty() && window.tick().is_empty());
        assert!(window.is_empty(), "an event that was quiet for a tick is forgotten");
        assert!(window.add(event, seat(Sold, "A/1/1", 4)).is_some(), "and told at once again");
    }

    #[test]
    fn what_is_gathered_has_an_end() {
        let (event, mut window) = (EventId::from_uuid(uuid(1)), Window::default());
        let add = |window: &mut Window, n: usize| {
            window.add(event, seat(Change::Sold, &format!("A/1/{n}"), 0))
        };
        assert!(add(&mut window, 0).is_some());
        let full = (1..).find_map(|n| add(&mut window, n)).expect("told before the tick");
        assert_eq!(full.spots(Change::Sold).len(), MAX_GATHERED);
    }

    fn uuid(number: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(number)
    }
}
