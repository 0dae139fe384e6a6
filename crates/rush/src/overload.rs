//! What an overload does to a sale: how much is still done of what can be done, and how soon all is
//! well after it.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Curve, Scenario, tally::Second};

/// A sale with a surge ([`Curve::Surge`]), in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Overload {
    /// Buyers a second that came during the surge.
    pub offered_per_second: f64,
    /// Bookings a second that were ticketed in the best ten seconds until the surge was over: what
    /// is still to be done then is quickly done, and no measure.
    pub peak_per_second: f64,
    /// Bookings a second that were ticketed during the surge.
    pub goodput_per_second: f64,
    /// The same in the worst ten seconds of the surge.
    pub worst_per_second: f64,
    /// Requests a second that were put off during the surge.
    pub put_off_per_second: f64,
    /// How long after the surge a stretch of seconds began in which nobody was put off any more,
    /// and answers were as quick as they should be; none if there was none.
    pub recovered_seconds: Option<u64>,
    /// How many of the seconds after that were not so.
    pub ill_again_seconds: u64,
}

/// So many seconds together make a rate.
const STRETCH: usize = 10;
/// How long it takes from coming to tickets: until then, a surge shows nothing.
const WAY: usize = 3;
/// An answer is late after so long: places that are held, tickets for what was paid.
pub(crate) const LATE_HOLD: Duration = Duration::from_millis(250);
pub(crate) const LATE_CONFIRMATION: Duration = Duration::from_secs(1);
/// After so many good seconds in a row all is well again.
const WELL: usize = 3;
/// Of so many answers, one may be late.
const ONE_LATE_OF: u64 = 50;

impl Overload {
    /// The figures of a sale that had a surge.
    pub(crate) fn of(scenario: &Scenario, seconds: &[Second]) -> Option<Self> {
        if scenario.curve != Curve::Surge {
            return None;
        }
        let at = |share: f64| scenario.window.mul_f64(share).as_secs() as usize;
        let (from, to) = Curve::SURGE;
        let (from, to, end) = (at(from), at(to), at(1.0));
        let surge = seconds.get(from..to)?;
        let working = seconds.get(from + WAY..to)?;
        let ticketed = |second: &Second| second.ticketed;
        let after = seconds.get(to..end)?;
        let recovered = after.windows(WELL).position(|stretch| stretch.iter().all(is_well));
        let since = recovered.and_then(|from| after.get(from..)).unwrap_or_default();
        Some(Self {
            offered_per_second: mean(surge, |second| second.arrived),
            peak_per_second: best(seconds.get(..to)?, ticketed),
            goodput_per_second: mean(working, ticketed),
            worst_per_second: working
                .windows(STRETCH)
                .map(|stretch| mean(stretch, ticketed))
                .fold(mean(working, ticketed), f64::min),
            put_off_per_second: mean(surge, |second| second.put_off),
            recovered_seconds: recovered.map(|seconds| seconds as u64),
            ill_again_seconds: since.iter().filter(|second| !is_well(second)).count() as u64,
        })
    }
}

fn is_well(second: &Second) -> bool {
    second.put_off == 0 && second.late * ONE_LATE_OF <= second.held + second.ticketed
}

fn mean(seconds: &[Second], of: impl Fn(&Second) -> u64) -> f64 {
    seconds.iter().map(of).sum::<u64>() as f64 / seconds.len().max(1) as f64
}

fn best(seconds: &[Second], of: impl Fn(&Second) -> u64 + Copy) -> f64 {
    seconds.windows(STRETCH).map(|stretch| mean(stretch, of)).fold(0.0, f64::max)
}

impl Display for Overload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let peak = self.peak_per_second.max(f64::MIN_POSITIVE);
        writeln!(
            f,
            "overload: {:.0} buyers a second offered, {:.1} times the peak of {:.0} bookings a \
             second",
            self.offered_per_second,
            self.offered_per_second / peak,
            self.peak_per_second
        )?;
        writeln!(
            f,
            "goodput during overload / peak: {:.2} ({:.0} a second; {:.2} in the worst \
             {STRETCH} s); {:.0} requests a second put off",
            self.goodput_per_second / peak,
            self.goodput_per_second,
            self.worst_per_second / peak,
            self.put_off_per_second
        )?;
        match self.recovered_seconds {
            Some(seconds) => write!(
                f,
                "recovered after: {seconds} s; {} of the seconds after that were not as good",
                self.ill_again_seconds
            ),
            None => write!(f, "not recovered while buyers came"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    fn sale() -> (Scenario, Vec<Second>) {
        let scenario = Preset::Overload.scenario();
        let scenario = Scenario { window: Duration::from_secs(100), ..scenario };
        let well = Second { arrived: 50, held: 50, ticketed: 50, ..Second::default() };
        (scenario, vec![well; 110])
    }

    #[test]
    fn a_sale_with_a_surge_is_told_in_figures() {
        let (scenario, mut seconds) = sale();
        let (from, to) = (40, 70);
        for second in &mut seconds[from..to] {
            *second = Second { arrived: 500, ticketed: 45, put_off: 450, ..*second };
        }
        seconds[to].put_off = 1;
        seconds[to + 3].late = 4;
        seconds[to + 9].late = 2;
        seconds[to + 12].late = 4;
        seconds[10..20].iter_mut().for_each(|second| second.ticketed = 60);
        let told = Overload::of(&scenario, &seconds).unwrap();
        assert_eq!((told.offered_per_second, told.peak_per_second), (500.0, 60.0));
        assert_eq!((told.goodput_per_second, told.worst_per_second), (45.0, 45.0));
        assert_eq!((told.put_off_per_second, told.recovered_seconds), (450.0, Some(4)));
        assert_eq!(told.ill_again_seconds, 1);
        assert!(told.to_string().contains("goodput during overload / peak: 0.75"), "{told}");

        let short = Scenario { window: Duration::from_secs(40), ..scenario.clone() };
        let brief = Overload::of(&short, &seconds[24..]).unwrap();
        assert_eq!(brief.worst_per_second, brief.goodput_per_second, "a surge of twelve seconds");

        seconds[to..].iter_mut().step_by(WELL).for_each(|second| second.put_off = 1);
        assert_eq!(Overload::of(&scenario, &seconds).unwrap().recovered_seconds, None);
    }

    #[test]
    fn a_sale_without_a_surge_or_that_ended_early_has_none() {
        let (scenario, seconds) = sale();
        assert_eq!(Overload::of(&scenario, &seconds[..50]), None);
        let steady = Scenario { curve: Curve::Constant, ..scenario };
        assert_eq!(Overload::of(&steady, &seconds), None);
    }
}
