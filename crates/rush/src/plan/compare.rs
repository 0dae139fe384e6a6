//! What was foreseen beside what was measured.

use super::Forecast;
use crate::{Report, model::End, tally::Step};

/// A table of both.
#[must_use]
pub fn compare(forecast: &Forecast, report: &Report) -> String {
    let of_ends = |end| {
        let count = |ends: &std::collections::BTreeMap<End, u64>| {
            ends.get(&end).copied().unwrap_or_default() as f64
        };
        (Some(count(&forecast.ends)), Some(count(&report.ends)))
    };
    let of_step = |step, value: fn(&crate::Latency) -> f64| {
        (forecast.latency(step).map(value), report.latency(step).map(value))
    };
    let bookings = (Some(forecast.held as f64), Some(report.bookings.held as f64));
    let tickets = (Some(forecast.ticketed as f64), Some(report.bookings.ticketed as f64));
    let sold = report.sold.saturating_sub(report.standbys) as f64;
    let rows = [
        ("nothing free after, s", (forecast.sold_out_seconds, report.sold_out_seconds)),
        ("places sold before standbys", (Some(forecast.sold as f64), Some(sold))),
        ("bookings held", bookings),
        ("bookings ticketed", tickets),
        ("wait p50, ms", of_step(Step::Turn, |its| its.p50_ms)),
        ("wait p90, ms", of_step(Step::Turn, |its| its.p90_ms)),
        ("wait p99, ms", of_step(Step::Turn, |its| its.p99_ms)),
        ("hold p50, ms", of_step(Step::Hold, |its| its.p50_ms)),
        ("hold p99, ms", of_step(Step::Hold, |its| its.p99_ms)),
        ("confirmation p50, ms", of_step(Step::Confirmation, |its| its.p50_ms)),
        ("left, all was sold", of_ends(End::SoldOut)),
        ("gave up waiting", of_ends(End::GaveUp)),
        ("left places held", of_ends(End::Abandoned)),
        ("outrun", of_ends(End::Outrun)),
    ];
    let mut text = format!("{:<30}{:>12}{:>12}{:>10}", "", "foreseen", "measured", "ratio");
    for (what, (foreseen, measured)) in rows {
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let ratio = match (foreseen, measured) {
            (Some(foreseen), Some(measured)) if measured > 0.0 => {
                format!("{:.2}", foreseen / measured)
            }
            _ => "-".to_owned(),
        };
        let (foreseen, measured) = (number(foreseen), number(measured));
        text.push_str(&format!("\n{what:<30}{foreseen:>12}{measured:>12}{ratio:>10}"));
    }
    text
}
