//! The demo's venues and events: a theatre, an arena whose sale is in queue mode, a festival.

use wire::pb::event::v1::{
    CreateEventRequest, CreateVenueRequest, PriceCategory, QueueMode, Row, SeatingPlan, Section,
    SectionKind,
};

/// One venue with one event in it.
pub(super) struct Show {
    /// Title of the account that sells it.
    pub organizer: &'static str,
    pub venue: CreateVenueRequest,
    pub event: CreateEventRequest,
    pub in_days: u64,
}

pub(super) fn shows() -> [Show; 3] {
    [theatre(), arena(), festival()]
}

fn venue(name: &str, city: &str, sections: Vec<Section>) -> CreateVenueRequest {
    CreateVenueRequest {
        name: name.to_owned(),
        address: "1 Harbour Street".to_owned(),
        city: city.to_owned(),
        country: "DE".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        plan: Some(SeatingPlan { sections }),
        organization_id: String::new(),
    }
}

fn event(
    name: &str,
    kind: &str,
    description: &str,
    prices: &[(&str, &str, i64)],
) -> CreateEventRequest {
    let category = |&(key, name, price_minor): &(&str, &str, i64)| PriceCategory {
        key: key.to_owned(),
        name: name.to_owned(),
        price_minor,
    };
    CreateEventRequest {
        name: name.to_owned(),
        description: description.to_owned(),
        kind: kind.to_owned(),
        currency: "EUR".to_owned(),
        categories: prices.iter().map(category).collect(),
        max_per_booking: 10,
        ..Default::default()
    }
}

fn row(name: String, seats: u32, wheelchair: Vec<u32>) -> Row {
    Row { name, first_number: 1, seats, category: String::new(), wheelchair }
}

fn seated(key: &str, name: &str, category: &str, rows: Vec<Row>) -> Section {
    Section {
        key: key.to_owned(),
        name: name.to_owned(),
        kind: SectionKind::Seated.into(),
        category: category.to_owned(),
        capacity: 0,
        rows,
    }
}

fn admission(key: &str, name: &str, category: &str, capacity: u32) -> Section {
    Section {
        key: key.to_owned(),
        name: name.to_owned(),
        kind: SectionKind::Admission.into(),
        category: category.to_owned(),
        capacity,
        rows: Vec::new(),
    }
}

/// Rows A, B, C … of equal length; the last one has wheelchair places at both ends.
fn lettered(rows: u8, seats: u32) -> Vec<Row> {
    let letter = |at: u8| char::from(b'A' + at).to_string();
    let wheelchair = |at: u8| if at + 1 == rows { vec![1, 2, seats - 1, seats] } else { vec![] };
    (0..rows).map(|at| row(letter(at), seats, wheelchair(at))).collect()
}

/// 504 numbered seats in three price categories.
fn theatre() -> Show {
    let sections = vec![
        seated("stalls", "Stalls", "first", lettered(12, 24)),
        seated("circle", "Dress circle", "second", lettered(7, 20)),
        seated("gallery", "Gallery", "third", lettered(4, 19)),
    ];
    let prices =
        [("first", "First", 4_800), ("second", "Second", 3_600), ("third", "Third", 1_900)];
    Show {
        organizer: "theatre",
        venue: venue("Theatre on the Quay", "Hamburg", sections),
        event: event(
            "The Tempest",
            "theater",
            "Shakespeare's last island, with live music.",
            &prices,
        ),
        in_days: 30,
    }
}

/// 20,000 numbered seats and standing room; buyers queue.
fn arena() -> Show {
    let numbered = |rows: u32| (1..=rows).map(|at| row(at.to_string(), 40, vec![])).collect();
    let block = |at: u32, level: u32, category: &str| {
        let key = format!("{}", level * 100 + at);
        seated(&key, &format!("Block {key}"), category, numbered(25))
    };
    let mut sections = vec![admission("floor", "Floor, standing", "floor", 2_000)];
    sections.extend((1..=10).map(|at| block(at, 1, "lower")));
    sections.extend((1..=10).map(|at| block(at, 2, "upper")));
    let prices = [
        ("floor", "Standing", 7_500),
        ("lower", "Lower tier", 9_500),
        ("upper", "Upper tier", 5_500),
    ];
    let queue =
        QueueMode { enabled: true, admissions_per_minute: 1_200, admission_ttl_seconds: 300 };
    Show {
        organizer: "promoter",
        venue: venue("Harbour Arena", "Bremen", sections),
        event: CreateEventRequest {
            queue: Some(queue),
            max_per_booking: 6,
            ..event("Midnight Sun: The Return", "concert", "One night only.", &prices)
        },
        in_days: 90,
    }
}

/// General admission only, with a free workshop in it.
fn festival() -> Show {
    let sections = vec![
        admission("weekend", "Weekend", "weekend", 4_000),
        admission("saturday", "Saturday", "day", 1_500),
        admission("sunday", "Sunday", "day", 1_500),
        admission("workshop", "Lantern workshop", "free", 60),
    ];
    let prices = [
        ("weekend", "Weekend pass", 6_900),
        ("day", "Day ticket", 3_900),
        ("free", "Free workshop", 0),
    ];
    Show {
        organizer: "promoter",
        venue: venue("Dyke Meadows", "Emden", sections),
        event: event("Lantern Festival", "festival", "Music, lanterns and the tide.", &prices),
        in_days: 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(show: &Show) -> u32 {
        let sections = &show.venue.plan.as_ref().unwrap().sections;
        sections.iter().map(|s| s.capacity + s.rows.iter().map(|r| r.seats).sum::<u32>()).sum()
    }

    #[test]
    fn halls_have_the_size_that_is_announced() {
        let [theatre, arena, festival] = shows();
        assert_eq!((places(&theatre), theatre.event.categories.len()), (504, 3));
        assert_eq!(places(&arena), 22_000);
        assert!(arena.event.queue.unwrap().enabled);
        assert!(festival.event.categories.iter().any(|category| category.price_minor == 0));
        assert_eq!(places(&festival), 7_060);
    }
}
