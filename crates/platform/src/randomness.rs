//! Randomness from the operating system.

use std::cell::RefCell;

use aws_lc_rs::rand;
use kernel::Ids;

/// How many bytes a thread draws at once: drawing costs more than the bytes do.
const RESERVE: usize = 512;

thread_local! {
    /// Bytes that nobody has got yet, of which the first so many are left.
    static DRAWN: RefCell<([u8; RESERVE], usize)> = const { RefCell::new(([0; RESERVE], 0)) };
}

/// Ids and secrets from the operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > RESERVE {
            return draw(bytes);
        }
        DRAWN.with_borrow_mut(|(drawn, left)| {
            if *left < bytes.len() {
                draw(drawn);
                *left = RESERVE;
            }
            let from = *left - bytes.len();
            if let Some(own) = drawn.get_mut(from..*left) {
                bytes.copy_from_slice(own);
                // Nothing here tells what was handed out.
                own.fill(0);
            }
            *left = from;
        });
    }
}

fn draw(bytes: &mut [u8]) {
    let drawn = rand::fill(bytes);
    assert!(drawn.is_ok(), "without randomness there are no secrets, and nothing may go on");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ids_are_the_same() {
        let now = kernel::Timestamp::from_seconds(1_800_000_000);
        let ids: std::collections::BTreeSet<_> = (0..1_000).map(|_| SystemIds.uuid(now)).collect();
        assert_eq!(ids.len(), 1_000);
    }

    #[test]
    fn draws_of_all_lengths_are_filled_and_no_part_of_one_is_in_another() {
        let draw = |length: usize| {
            let mut bytes = vec![0; length];
            SystemIds.fill(&mut bytes);
            bytes
        };
        let mut windows = std::collections::BTreeSet::new();
        let mut count = 0;
        for length in [8, 16, 500, RESERVE, RESERVE - 1, RESERVE + 1, 4 * RESERVE, 12, 0] {
            for bytes in [draw(length), draw(length)] {
                assert!(length == 0 || bytes.iter().any(|byte| *byte != 0));
                for window in bytes.windows(8) {
                    windows.insert(window.to_vec());
                    count += 1;
                }
            }
        }
        assert_eq!(windows.len(), count, "eight bytes came twice");
        DRAWN.with_borrow(|(drawn, left)| {
            assert!(drawn.iter().skip(*left).all(|byte| *byte == 0), "what was handed out is kept");
        });
    }
}
