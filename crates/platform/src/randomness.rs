//! Randomness from the operating system.

use aws_lc_rs::rand;
use kernel::Ids;

/// Ids and secrets from the operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn fill(&self, bytes: &mut [u8]) {
        let filled = rand::fill(bytes);
        assert!(filled.is_ok(), "without randomness there are no secrets, and nothing may go on");
    }
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
}
