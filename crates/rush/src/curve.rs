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
    /// Rising to somewhat more than a base rate, five times the base rate, half of it.
    Surge,
}

/// A word that is no curve.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no arrival curve: constant, ramp, spike, on-sale or surge")]
pub struct UnknownCurve(String);

/// The share of those who come for the opening.
const EAGER: f64 = 0.8;
const SPIKE_MEANS: f64 = 6.0;
const EAGER_MEANS: f64 = 8.0;
/// Rates of a surge, as multiples of its base rate: at the end of its rise, during and after it.
const RISE: f64 = 1.25;
const SURGE: f64 = 5.0;
const AFTER: f64 = 0.5;

impl Curve {
    /// From when to when a surge lasts, as shares of the window.
    pub(crate) const SURGE: (f64, f64) = (0.4, 0.7);
    const ALL: [(Self, &'static str); 5] = [
        (Self::Constant, "constant"),
        (Self::Ramp, "ramp"),
        (Self::Spike, "spike"),
        (Self::OnSale, "on-sale"),
        (Self::Surge, "surge"),
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
            Self::Surge => surging(dice),
        }
    }
}

/// By the rates of a surge.
fn surging(dice: &mut Dice) -> f64 {
    let (from, to) = Curve::SURGE;
    let [rising, surge, after] = [from * RISE / 2.0, (to - from) * SURGE, (1.0 - to) * AFTER];
    let mut left = dice.unit() * (rising + surge + after);
    if left < rising {
        return from * (left / rising).sqrt();
    }
    left -= rising;
    if left < surge { from + left / SURGE } else { to + (left - surge) / AFTER }
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
        let [first, second, third, fourth, fifth] = fifths(Curve::Surge);
        assert!((second / first - 3.0).abs() < 0.3, "it rises evenly: {first} {second}");
        assert!((third * 0.5 / fifth - 5.0).abs() < 0.5, "ten times: {third} {fifth}");
        assert!((fourth / third - 0.55).abs() < 0.02, "half of it surges: {third} {fourth}");
    }

    #[test]
    fn names_are_read_and_others_refused() {
        for (curve, name) in Curve::ALL {
            assert_eq!((name.parse::<Curve>().unwrap(), curve.to_string().as_str()), (curve, name));
        }
        assert!("sawtooth".parse::<Curve>().unwrap_err().to_string().contains("sawtooth"));
    }
}
