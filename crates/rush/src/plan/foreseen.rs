//! How a sale will go, as figures and as text.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use serde::Serialize;

use crate::{Latency, model::End, tally::Step};

/// How a sale will go.
#[derive(Debug, Clone, Serialize)]
pub struct Forecast {
    /// When nothing is free for the first time, in seconds after the opening.
    pub sold_out_seconds: Option<f64>,
    /// When the last buyer is gone, in seconds.
    pub took_seconds: f64,
    /// Places that are sold when the last buyer is gone.
    pub sold: u64,
    /// Bookings with tickets.
    pub ticketed: u64,
    /// Holds that lapse, unpaid.
    pub lapsed: u64,
    /// Bookings that are held.
    pub held: u64,
    /// The most that wait in the queue.
    pub longest_line: u64,
    /// Buyers that were admitted and left without tickets because all was gone.
    pub in_vain: u64,
    /// The share of the processors' time that is taken in the busiest second.
    pub peak_utilisation: f64,
    /// The same until nothing is free.
    pub utilisation: f64,
    /// Latencies, of waiting too (`turn`).
    pub latencies: Vec<Latency>,
    /// How lives end.
    pub ends: BTreeMap<End, u64>,
    /// Refusals by reason.
    pub refusals: BTreeMap<String, u64>,
}

impl Forecast {
    /// The latencies of a step, if there are any.
    #[must_use]
    pub fn latency(&self, step: Step) -> Option<&Latency> {
        self.latencies.iter().find(|latency| latency.step == step)
    }
}

impl Display for Forecast {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.sold_out_seconds {
            Some(at) => writeln!(f, "nothing free for the first time after {at:.2} s")?,
            None => writeln!(f, "something is free at all times")?,
        }
        writeln!(
            f,
            "{} places sold in {} bookings when the last buyer is gone, after {:.1} s; {} holds \
             lapse",
            self.sold, self.ticketed, self.took_seconds, self.lapsed
        )?;
        writeln!(
            f,
            "processors: {:.0} % taken until then, {:.0} % in the busiest second; the longest \
             line: {}",
            self.utilisation * 100.0,
            self.peak_utilisation * 100.0,
            self.longest_line
        )?;
        writeln!(
            f,
            "\n{:<14}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "step, ms", "count", "p50", "p90", "p99", "max"
        )?;
        for its in &self.latencies {
            writeln!(
                f,
                "{:<14}{:>11}{:>11.1}{:>11.1}{:>11.1}{:>11.1}",
                its.step.name(),
                its.count,
                its.p50_ms,
                its.p90_ms,
                its.p99_ms,
                its.max_ms
            )?;
        }
        let ends = self.ends.iter().map(|(end, count)| format!("{count} {end}"));
        write!(f, "lives end: {}", ends.collect::<Vec<_>>().join(", "))
    }
}
