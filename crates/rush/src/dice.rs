//! Chance that can be repeated: the same seed, the same life.

use std::time::Duration;

/// A stream of random numbers (SplitMix64). Good for behaviour, never for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The stream `number` of those that `seed` has.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        // Neighbours among the seeds are none after this.
        Self(dice.number())
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without either.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.number() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(limit.max(1))) >> 64) as u64
    }

    /// Whether it happens, with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponentially distributed, with this mean.
    pub(crate) fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-self.unit().ln())
    }

    /// Lognormally distributed: `sigma` is the deviation of the logarithm.
    pub(crate) fn lognormal(&mut self, median: Duration, sigma: f64) -> Duration {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median.mul_f64((sigma * normal).clamp(-8.0, 8.0).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_its_streams_differ() {
        let draw = |seed, number| {
            let mut dice = Dice::new(seed, number);
            [dice.number(), dice.number(), dice.number()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn distributions_have_their_means() {
        let mut dice = Dice::new(1, 0);
        let count = 20_000;
        let second = Duration::from_secs(1);
        let mut sums = [0.0; 3];
        let mut below_median = 0;
        for _ in 0..count {
            sums[0] += dice.exponential(second).as_secs_f64();
            sums[1] += f64::from(u8::from(dice.chance(0.3)));
            sums[2] += dice.below(11) as f64;
            below_median += u32::from(dice.lognormal(second, 0.8) < second);
        }
        let means = sums.map(|sum| sum / f64::from(count));
        assert!((means[0] - 1.0).abs() < 0.05, "{means:?}");
        assert!((means[1] - 0.3).abs() < 0.02, "{means:?}");
        assert!((means[2] - 5.0).abs() < 0.1, "{means:?}");
        assert!((9_700..10_300).contains(&below_median), "{below_median}");
    }
}
