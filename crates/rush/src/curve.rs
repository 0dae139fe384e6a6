//! When buyers arrive: drawn up front, so that no answer can delay an arrival.

use std::{fmt, str::FromStr, time::Duration};

use serde::Serialize;

use crate::dice::Dice;

/// How arrivals spread over the time of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    /// As many at any time.
    Constant,
    /// From none to twice the mean.
    Ramp,
    /// Most at once, fewer and fewer after that: an exponential decay over six of its means.
    Spike,
    /// Four of five in the beginning, decaying over eight of its means; the others at any time.
    OnSale,
}

/// A word that is no curve.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no arrival curve: constant, ramp, spike or on-sale")]
pub struct UnknownCurve(String);

/// The share of those who come for the opening.
const EAGER: f64 = 0.8;
const SPIKE_MEANS: f64 = 6.0;
const EAGER_MEANS: f64 = 8.0;

impl Curve {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Constant, "constant"),
        (Self::Ramp, "ramp"),
        (Self::Spike, "spike"),
        (Self::OnSale, "on-sale"),
    ];

    /// The intended arrivals of so many `buyers` within `window`, in order.
    pub(crate) fn arrivals(self, buyers: u32, window: Duration, dice: &mut Dice) -> Vec<Duration> {
        let mut times: Vec<_> =
            (0..buyers).map(|_| window.mul_f64(self.share(dice).clamp(0.0, 1.0))).collect();
        times.sort_unstable();
        times
    }

    /// One arrival, as a share of the window.
    fn share(self, dice: &mut Dice) -> f64 {
        match self {
            Self::Constant => dice.unit(),
            Self::Ramp => dice.unit().sqrt(),
            Self::Spike => decaying(SPIKE_MEANS, dice),
            Self::OnSale if dice.chance(EAGER) => decaying(EAGER_MEANS, dice),
            Self::OnSale => dice.unit(),
        }
    }
}

/// Exponentially decaying over so many means, and never later.
fn decaying(means: f64, dice: &mut Dice) -> f64 {
    -(1.0 - dice.unit() * (1.0 - (-means).exp())).ln() / means
}

impl FromStr for Curve {
    type Err = UnknownCurve;

    fn from_str(word: &str) -> Result<Self, UnknownCurve> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == word);
        found.map(|(curve, _)| curve).ok_or_else(|| UnknownCurve(word.to_owned()))
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.into_iter().find(|(curve, _)| curve == self);
        f.write_str(found.map_or("", |(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares of the arrivals that come in each fifth of the window.
    fn fifths(curve: Curve) -> [f64; 5] {
        let window = Duration::from_secs(50);
        let times = curve.arrivals(50_000, window, &mut Dice::new(3, 0));
        assert_eq!(times.len(), 50_000);
        assert!(times.is_sorted() && times.last().unwrap() <= &window);
        let mut fifths = [0.0; 5];
        for time in times {
            fifths[(time.as_secs() as usize / 10).min(4)] += 1.0 / 50_000.0;
        }
        fifths
    }

    #[test]
    fn each_curve_has_its_shape() {
        assert!(fifths(Curve::Constant).iter().all(|share| (share - 0.2).abs() < 0.01));
        let ramp = fifths(Curve::Ramp);
        assert!(ramp.is_sorted() && ramp[4] > 0.3 && ramp[0] < 0.05, "{ramp:?}");
        let spike = fifths(Curve::Spike);
        assert!(spike.is_sorted_by(|a, b| a >= b) && spike[0] > 0.6, "{spike:?}");
        let on_sale = fifths(Curve::OnSale);
        assert!(on_sale[0] > 0.6 && on_sale[4] > 0.02, "{on_sale:?}");
    }

    #[test]
    fn names_are_read_and_others_refused() {
        for (curve, name) in Curve::ALL {
            assert_eq!((name.parse::<Curve>().unwrap(), curve.to_string().as_str()), (curve, name));
        }
        assert!("sawtooth".parse::<Curve>().unwrap_err().to_string().contains("sawtooth"));
    }
}
