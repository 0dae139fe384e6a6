//! What an organizer writes about an event: words, times, prices, and how it is sold.

use std::collections::HashSet;

use kernel::{Currency, Timestamp};

use super::{Problems, plan};

/// The longest name of an event or price category, in characters.
const MAX_NAME: usize = 200;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 10_000;
/// The most price categories.
const MAX_CATEGORIES: usize = 100;
/// The highest price, in minor units.
const MAX_PRICE_MINOR: i64 = 100_000_000;
/// The most places that may go into one booking.
const MAX_PER_BOOKING: u32 = kernel::MAX_PLACES;
/// The fastest a queue may move.
const MAX_ADMISSIONS_PER_MINUTE: u32 = 100_000;
/// The shortest and the longest time an admission may be good for.
const ADMISSION_TTL_SECONDS: std::ops::RangeInclusive<u32> = 30..=3_600;
/// The end of the year 9999: every database and every reader can still write it down.
const MAX_AT: Timestamp = Timestamp::from_seconds(253_402_300_799);

/// The kinds of events there are.
const KINDS: [&str; 9] = [
    "concert",
    "theater",
    "sports",
    "conference",
    "exhibition",
    "comedy",
    "workshop",
    "festival",
    "other",
];

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(&'static str);

impl Kind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| *kind == text).map(Self)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        self.0
    }

    /// The kinds, for people.
    pub(crate) fn listed() -> String {
        KINDS.join(", ")
    }
}

/// What places of one kind cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Category {
    /// As the plan names it.
    pub(crate) key: String,
    pub(crate) name: String,
    /// 0 is free.
    pub(crate) price_minor: i64,
}

/// Whether buyers wait in a queue, and how it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Queue {
    pub(crate) enabled: bool,
    pub(crate) admissions_per_minute: u32,
    pub(crate) admission_ttl_seconds: u32,
}

/// What an organizer decides about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) kind: Kind,
    pub(crate) starts_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    /// None: at once when published, which fills it in.
    pub(crate) sale_starts_at: Option<Timestamp>,
    /// None: when the event starts.
    pub(crate) sale_ends_at: Option<Timestamp>,
    pub(crate) currency: Currency,
    pub(crate) categories: Vec<Category>,
    pub(crate) max_per_booking: u32,
    pub(crate) queue: Queue,
}

impl Terms {
    /// When the sale ends.
    pub(crate) fn sale_end(&self) -> Timestamp {
        self.sale_ends_at.unwrap_or(self.starts_at)
    }

    /// All that is wrong, whatever the time is.
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.line("name", &self.name, MAX_NAME);
        problems.prose("description", &self.description, MAX_DESCRIPTION);
        self.check_times(problems);
        self.check_categories(problems);
        let per_booking = format!("1 to {MAX_PER_BOOKING}");
        let fits = (1..=MAX_PER_BOOKING).contains(&self.max_per_booking);
        problems.require(fits, "max_per_booking", per_booking);
        if self.queue.enabled {
            let pace = 1..=MAX_ADMISSIONS_PER_MINUTE;
            problems.require(
                pace.contains(&self.queue.admissions_per_minute),
                "queue.admissions_per_minute",
                format!("1 to {MAX_ADMISSIONS_PER_MINUTE}"),
            );
            problems.require(
                ADMISSION_TTL_SECONDS.contains(&self.queue.admission_ttl_seconds),
                "queue.admission_ttl_seconds",
                format!("{} to {}", ADMISSION_TTL_SECONDS.start(), ADMISSION_TTL_SECONDS.end()),
            );
        }
    }

    fn check_times(&self, problems: &mut Problems) {
        let times = [
            ("starts_at", Some(self.starts_at)),
            ("ends_at", Some(self.ends_at)),
            ("sale_starts_at", self.sale_starts_at),
            ("sale_ends_at", self.sale_ends_at),
        ];
        let mut readable = true;
        for (field, at) in times {
            let Some(at) = at else { continue };
            let fits = at > Timestamp::EPOCH && at <= MAX_AT;
            problems.require(fits, field, "is required, and before the year 10000");
            readable &= fits;
        }
        if !readable {
            return;
        }
        problems.require(self.ends_at > self.starts_at, "ends_at", "must be after starts_at");
        let end = self.sale_end();
        problems.require(end <= self.ends_at, "sale_ends_at", "must not be after ends_at");
        let begins = self.sale_starts_at.is_none_or(|start| start < end);
        problems.require(begins, "sale_starts_at", "must be before the sale ends");
    }

    fn check_categories(&self, problems: &mut Problems) {
        if self.categories.len() > MAX_CATEGORIES {
            problems.add("categories", format!("at most {MAX_CATEGORIES}"));
            return;
        }
        let mut keys = HashSet::new();
        for (at, category) in self.categories.iter().enumerate() {
            let field = format!("categories[{at}]");
            problems.key(&format!("{field}.key"), &category.key, plan::MAX_KEY);
            problems.line(&format!("{field}.name"), &category.name, MAX_NAME);
            let fits = (0..=MAX_PRICE_MINOR).contains(&category.price_minor);
            let range = format!("0 to {MAX_PRICE_MINOR}");
            problems.require(fits, &format!("{field}.price_minor"), range);
            let unique = keys.insert(category.key.as_str());
            problems.require(unique, &format!("{field}.key"), "is not unique");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const DAY: i64 = 86_400;

    /// Day 100 evening, on sale from day 10 on.
    pub(crate) fn terms() -> Terms {
        Terms {
            name: "Nordlicht Trio".into(),
            description: "An evening.\nIn two parts.".into(),
            kind: Kind::parse("concert").unwrap(),
            starts_at: Timestamp::from_seconds(100 * DAY),
            ends_at: Timestamp::from_seconds(100 * DAY + 7_200),
            sale_starts_at: Some(Timestamp::from_seconds(10 * DAY)),
            sale_ends_at: None,
            currency: Currency::EUR,
            categories: vec![category("standard", 2_500), category("premium", 4_000)],
            max_per_booking: 10,
            queue: Queue::default(),
        }
    }

    pub(crate) fn category(key: &str, price_minor: i64) -> Category {
        Category { key: key.into(), name: key.to_uppercase(), price_minor }
    }

    fn wrong(change: impl Fn(&mut Terms)) -> Vec<String> {
        let mut terms = terms();
        change(&mut terms);
        let mut problems = Problems::default();
        terms.check(&mut problems);
        problems.into_fields().into_iter().map(|field| field.field).collect()
    }

    #[test]
    fn words_and_times_have_limits() {
        assert!(wrong(|_| {}).is_empty());
        assert_eq!(wrong(|t| t.name.clear()), ["name"]);
        assert_eq!(wrong(|t| t.name = "ü".repeat(201)), ["name"]);
        assert!(wrong(|t| t.name = "ü".repeat(200)).is_empty());
        assert_eq!(wrong(|t| t.name = "two\nlines".into()), ["name"]);
        assert_eq!(wrong(|t| t.description = "x".repeat(10_001)), ["description"]);
        assert_eq!(wrong(|t| t.description = "a\0".into()), ["description"]);
        assert_eq!(wrong(|t| t.ends_at = t.starts_at), ["ends_at", "sale_ends_at"][..1]);
        assert_eq!(wrong(|t| t.starts_at = Timestamp::EPOCH), ["starts_at"]);
        assert_eq!(wrong(|t| t.ends_at = Timestamp::from_micros(i64::MAX)), ["ends_at"]);
        assert_eq!(wrong(|t| t.sale_starts_at = Some(t.starts_at)), ["sale_starts_at"]);
        let late = |t: &mut Terms| t.sale_ends_at = Some(Timestamp::from_seconds(200 * DAY));
        assert_eq!(wrong(late), ["sale_ends_at"]);
    }

    #[test]
    fn prices_and_quantities_have_limits() {
        let price = |minor: i64| wrong(|t| t.categories = vec![category("a", minor)]);
        assert_eq!(price(-1), ["categories[0].price_minor"]);
        assert_eq!(price(100_000_001), ["categories[0].price_minor"]);
        assert!(price(0).is_empty() && price(100_000_000).is_empty());
        let twice = wrong(|t| t.categories = vec![category("a", 1), category("a", 2)]);
        assert_eq!(twice, ["categories[1].key"]);
        let many = |t: &mut Terms| t.categories = vec![category("a", 1); 101];
        assert_eq!(wrong(many), ["categories"]);
        assert_eq!(wrong(|t| t.max_per_booking = 0), ["max_per_booking"]);
        assert_eq!(wrong(|t| t.max_per_booking = 101), ["max_per_booking"]);
        let queue = |admissions_per_minute, admission_ttl_seconds| {
            let enabled = true;
            let queue = Queue { enabled, admissions_per_minute, admission_ttl_seconds };
            wrong(|t| t.queue = queue)
        };
        assert!(queue(1, 30).is_empty() && queue(100_000, 3_600).is_empty());
        assert_eq!(queue(0, 300), ["queue.admissions_per_minute"]);
        assert_eq!(queue(100_001, 300), ["queue.admissions_per_minute"]);
        assert_eq!(queue(1, 29), ["queue.admission_ttl_seconds"]);
        assert_eq!(queue(1, 3_601), ["queue.admission_ttl_seconds"]);
    }
}
