#![doc = include_str!("../README.md")]

mod codes;
mod door;
mod seats;
mod texts;
mod wires;

use testkit::SeededIds;

/// Something that the platform does over and over.
#[derive(Clone, Copy)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// How often it is done between two counts of instructions.
    pub times: u32,
    /// Makes ready what doing it needs.
    pub prepare: fn() -> Once,
}

/// Does it once; the answer depends on what came out.
pub type Once = Box<dyn FnMut() -> u64>;

/// All of them.
pub const WORKLOADS: [Workload; 14] = [
    Workload { name: "ids", times: 2_000, prepare: texts::ids },
    Workload { name: "money", times: 2_000, prepare: texts::money },
    Workload { name: "seat_names", times: 2_000, prepare: texts::seat_names },
    Workload { name: "times", times: 2_000, prepare: texts::times },
    Workload { name: "best_available", times: 300, prepare: seats::best_available },
    Workload { name: "seat_map_changes", times: 1_000, prepare: seats::changes },
    Workload { name: "batch_of_holds", times: 100, prepare: seats::batch },
    Workload { name: "ticket_code", times: 20, prepare: codes::ticket_code },
    Workload { name: "seal", times: 200, prepare: codes::seal },
    Workload { name: "event_envelope", times: 1_000, prepare: wires::envelope },
    Workload { name: "failure_status", times: 1_000, prepare: wires::status },
    Workload { name: "booking_request", times: 1_000, prepare: wires::request },
    Workload { name: "problem", times: 1_000, prepare: wires::problem },
    Workload { name: "own_place", times: 5_000, prepare: door::own_place },
];

/// The workload called `name`.
#[must_use]
pub fn find(name: &str) -> Option<Workload> {
    WORKLOADS.into_iter().find(|workload| workload.name == name)
}

/// The same numbers every time.
const fn seeded() -> SeededIds {
    SeededIds::new(7)
}

/// A moment in 2026.
const NOON: kernel::Timestamp = kernel::Timestamp::from_seconds(1_782_820_800);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_does_the_same_every_time() {
        for workload in WORKLOADS {
            let (mut one, mut other) = ((workload.prepare)(), (workload.prepare)());
            for time in 0..50 {
                assert_eq!(one(), other(), "{}, time {time}", workload.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        assert_eq!(names.len(), WORKLOADS.len());
        assert!(names.iter().all(|name| find(name).is_some()));
        assert!(find("cold").is_none());
    }
}
