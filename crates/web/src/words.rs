//! How times, prices and addresses are put into words.

use std::time::Duration;

use jiff::{Zoned, tz::TimeZone};
use kernel::{Currency, Money, Timestamp};

const HOUR: u64 = 3_600;

/// A moment on the clocks of `zone`; on those of UTC, if nobody knows the zone.
pub(crate) fn zoned(at_us: i64, zone: &str) -> Zoned {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    jiff::Timestamp::from_microsecond(at_us).unwrap_or_default().to_zoned(zone)
}

/// When something is, after its day: `20:00 – 22:30 CET`, or `16:00 CET, until Sun 14 Jun` if it
/// goes on for a day or longer. No end: 0.
pub(crate) fn hours(starts: &Zoned, ends_at_us: i64) -> String {
    let start = starts.strftime("%H:%M");
    let zone = starts.strftime("%Z");
    let lasts = ends_at_us.saturating_sub(starts.timestamp().as_microsecond());
    if lasts <= 0 {
        return format!("{start} {zone}");
    }
    let ends = jiff::Timestamp::from_microsecond(ends_at_us).unwrap_or_default();
    let ends = ends.to_zoned(starts.time_zone().clone());
    if Duration::from_micros(lasts.unsigned_abs()) < Duration::from_secs(24 * HOUR) {
        return format!("{start} – {} {zone}", ends.strftime("%H:%M"));
    }
    format!("{start} {zone}, until {}", ends.strftime("%a %-d %b"))
}

/// The least of `prices_minor`, as buyers compare it: `free`, `19.00 EUR`, `from 19.00 EUR`. None
/// without a price, or in a currency that nobody knows.
pub(crate) fn price(prices_minor: &[i64], currency: &str) -> Option<String> {
    let least = *prices_minor.iter().min()?;
    let most = *prices_minor.iter().max()?;
    if most == 0 {
        return Some("free".to_owned());
    }
    let currency: Currency = currency.parse().ok()?;
    let paid = prices_minor.iter().filter(|price| **price > 0).min()?;
    let lowest = Money::new(*paid, currency);
    Some(match least {
        0 => format!("free, or from {lowest}"),
        least if least == most => lowest.to_string(),
        _ => format!("from {lowest}"),
    })
}

/// One price: `free`, `19.00 EUR`.
pub(crate) fn amount(minor: i64, currency: &str) -> String {
    match currency.parse() {
        Ok(currency) if minor != 0 => Money::new(minor, currency).to_string(),
        _ => "free".to_owned(),
    }
}

/// How long ago it was, as long as that is easy to grasp; then the day, in UTC.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.since(at).as_secs() {
        0..60 => "just now".to_owned(),
        seconds @ 60..HOUR => format!("{} min ago", seconds / 60),
        seconds if seconds < 24 * HOUR => format!("{} h ago", seconds / HOUR),
        _ => zoned(at.micros(), "UTC").strftime("%-d %b %Y").to_string(),
    }
}

/// `22 Dec 2026, 19:00:05 UTC`
pub(crate) fn moment(at: Timestamp) -> String {
    zoned(at.micros(), "UTC").strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}

/// An address of ours with these parameters; those without a value are left out.
pub(crate) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let given: Vec<_> = parameters.iter().filter(|(_, value)| !value.is_empty()).collect();
    if given.is_empty() {
        return path.to_owned();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(given);
    format!("{path}?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_venue_and_long_events_say_their_last_day() {
        let at = |text: &str| Timestamp::parse(text).unwrap().micros();
        let starts = zoned(at("2026-06-12T18:00:00Z"), "Europe/Berlin");
        assert_eq!(hours(&starts, 0), "20:00 CEST");
        assert_eq!(hours(&starts, at("2026-06-12T23:00:00Z")), "20:00 – 01:00 CEST");
        let until = "20:00 CEST, until Sun 14 Jun";
        assert_eq!(hours(&starts, at("2026-06-14T20:00:00Z")), until);
        assert_eq!(hours(&zoned(at("2026-06-12T18:00:00Z"), "Nowhere"), 0), "18:00 UTC");
    }

    #[test]
    fn a_price_is_the_least_that_somebody_pays() {
        let price = |prices: &[i64]| price(prices, "EUR");
        assert_eq!(price(&[4_900, 1_900]).as_deref(), Some("from 19.00 EUR"));
        assert_eq!(price(&[1_900, 1_900]).as_deref(), Some("19.00 EUR"));
        assert_eq!(price(&[0, 1_900, 900]).as_deref(), Some("free, or from 9.00 EUR"));
        assert_eq!(price(&[0]).as_deref(), Some("free"));
        assert_eq!(price(&[]), None);
        assert_eq!(super::price(&[100], "?"), None);
    }

    #[test]
    fn an_address_is_encoded_and_leaves_out_what_is_empty() {
        assert_eq!(address("/mailbox", &[("to", ""), ("cursor", "")]), "/mailbox");
        let encoded = "/mailbox?to=a%2Bb%40c.d&cursor=x%26y";
        assert_eq!(address("/mailbox", &[("to", "a+b@c.d"), ("cursor", "x&y")]), encoded);
    }

    #[test]
    fn what_was_long_ago_is_told_by_its_date() {
        let now = Timestamp::parse("2026-12-22T19:00:05Z").unwrap();
        let before = |seconds| ago(now.minus(Duration::from_secs(seconds)), now);
        assert_eq!(before(0), "just now");
        assert_eq!(before(119), "1 min ago");
        assert_eq!(before(2 * HOUR), "2 h ago");
        assert_eq!(before(24 * HOUR), "21 Dec 2026");
        assert_eq!(ago(now.plus(Duration::from_secs(9)), now), "just now", "clocks differ");
    }
}
