//! A seating plan: sections of numbered seats and of admissions, checked as a whole.

use std::collections::{BTreeSet, HashSet};

use kernel::{FieldError, SeatRef};

use super::Problems;

/// The most places a plan may have.
pub(crate) const MAX_PLACES: u64 = 200_000;
/// The most rows of all sections together.
const MAX_ROWS: usize = 2_000;
/// The most sections.
const MAX_SECTIONS: usize = 500;
/// The longest name of a section, in characters.
const MAX_NAME: usize = 200;
/// The longest key of a section or price category.
pub(crate) const MAX_KEY: usize = 40;

/// The layout of a venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) sections: Vec<Section>,
}

/// Where places are numbered or counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// Unique in the plan.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) kind: SectionKind,
    /// Price category of its places, where a row does not say otherwise.
    pub(crate) category: String,
    /// How many may enter an admission section; 0 for a seated one.
    pub(crate) capacity: u32,
    /// Rows of a seated section, the best first.
    pub(crate) rows: Vec<Row>,
}

/// Whether places have numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Seated,
    Admission,
}

/// Seats `first_number`, `first_number + 1`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) first_number: u32,
    pub(crate) seats: u32,
    /// Empty: the section's.
    pub(crate) category: String,
    /// Numbers that are wheelchair places.
    pub(crate) wheelchair: Vec<u32>,
}

impl Row {
    /// The number of its last seat.
    fn last_number(&self) -> u64 {
        (u64::from(self.first_number) + u64::from(self.seats)).saturating_sub(1)
    }
}

impl Section {
    fn places(&self) -> u64 {
        match self.kind {
            SectionKind::Admission => u64::from(self.capacity),
            SectionKind::Seated => self.rows.iter().map(|row| u64::from(row.seats)).sum(),
        }
    }
}

impl Plan {
    /// How many places there are.
    pub(crate) fn capacity(&self) -> u32 {
        let places: u64 = self.sections.iter().map(Section::places).sum();
        u32::try_from(places).unwrap_or(u32::MAX)
    }

    /// The price categories that its places need.
    pub(crate) fn categories(&self) -> BTreeSet<&str> {
        let rows = self.sections.iter().flat_map(|section| {
            let own = section.rows.iter().map(|row| row.category.as_str());
            let inherits = section.rows.is_empty() || own.clone().any(str::is_empty);
            own.chain(inherits.then_some(section.category.as_str()))
        });
        rows.filter(|category| !category.is_empty()).collect()
    }

    /// All that is wrong with it.
    pub(crate) fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        let rows: usize = self.sections.iter().map(|section| section.rows.len()).sum();
        let places: u64 = self.sections.iter().map(Section::places).sum();
        let sections = self.sections.len();
        problems.require(sections > 0, "plan.sections", "at least one section");
        let too_many = format!("at most {MAX_SECTIONS} sections");
        problems.require(sections <= MAX_SECTIONS, "plan.sections", too_many);
        problems.require(rows <= MAX_ROWS, "plan.sections", format!("at most {MAX_ROWS} rows"));
        let too_large = format!("at most {MAX_PLACES} places");
        problems.require(places <= MAX_PLACES, "plan.sections", too_large);
        // Whatever is too large is not looked at piece by piece.
        if !problems.is_empty() {
            return problems.into_result();
        }
        let mut keys = HashSet::new();
        for (at, section) in self.sections.iter().enumerate() {
            let field = format!("plan.sections[{at}]");
            check_section(&field, section, &mut problems);
            if !keys.insert(section.key.as_str()) {
                problems.add(format!("{field}.key"), "is not unique");
            }
        }
        problems.into_result()
    }
}

fn check_section(field: &str, section: &Section, problems: &mut Problems) {
    problems.key(&format!("{field}.key"), &section.key, MAX_KEY);
    problems.line(&format!("{field}.name"), &section.name, MAX_NAME);
    problems.key(&format!("{field}.category"), &section.category, MAX_KEY);
    let capacity = format!("{field}.capacity");
    let rows = format!("{field}.rows");
    match section.kind {
        SectionKind::Admission => {
            problems.require(section.capacity > 0, &capacity, "at least 1");
            problems.require(section.rows.is_empty(), &rows, "an admission section has none");
        }
        SectionKind::Seated => {
            problems.require(section.capacity == 0, &capacity, "a seated section has its rows'");
            problems.require(!section.rows.is_empty(), &rows, "at least one row");
            let mut names = HashSet::new();
            for (at, row) in section.rows.iter().enumerate() {
                if problems.is_full() {
                    return;
                }
                let field = format!("{rows}[{at}]");
                check_row(&field, &section.key, row, problems);
                let unique = names.insert(row.name.as_str());
                problems.require(unique, &format!("{field}.name"), "is not unique");
            }
        }
    }
}

fn check_row(field: &str, section: &str, row: &Row, problems: &mut Problems) {
    problems.require(row.seats > 0, &format!("{field}.seats"), "at least 1");
    let last = row.last_number();
    let fits = u32::try_from(last).is_ok();
    problems.require(fits, &format!("{field}.first_number"), "numbers are too large");
    if SeatRef::new(section, &row.name, &last.to_string()).is_err() {
        let detail = "must be short, of letters, digits, -, _ and .";
        problems.add(format!("{field}.name"), detail);
    }
    if !row.category.is_empty() {
        problems.key(&format!("{field}.category"), &row.category, MAX_KEY);
    }
    let mut seen = HashSet::new();
    for number in &row.wheelchair {
        let exists = *number >= row.first_number && u64::from(*number) <= last && row.seats > 0;
        if !exists || !seen.insert(number) {
            let detail = if exists { "twice" } else { "is no seat of the row" };
            problems.add(format!("{field}.wheelchair"), format!("{number} {detail}"));
            return;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn seated(key: &str, rows: &[(&str, u32)]) -> Section {
        let row = |(name, seats): &(&str, u32)| Row {
            name: (*name).to_owned(),
            first_number: 1,
            seats: *seats,
            category: String::new(),
            wheelchair: vec![],
        };
        Section {
            key: key.to_owned(),
            name: key.to_uppercase(),
            kind: SectionKind::Seated,
            category: "standard".to_owned(),
            capacity: 0,
            rows: rows.iter().map(row).collect(),
        }
    }

    pub(crate) fn admission(key: &str, capacity: u32) -> Section {
        let kind = SectionKind::Admission;
        Section { kind, capacity, ..seated(key, &[]) }
    }

    fn wrong(sections: Vec<Section>) -> Vec<String> {
        let fields = Plan { sections }.check().err().unwrap_or_default();
        fields.into_iter().map(|field| field.field).collect()
    }

    #[test]
    fn a_plan_counts_its_places_and_names_its_categories() {
        let mut stalls = seated("stalls", &[("A", 10), ("B", 12)]);
        stalls.rows[0].category = "premium".to_owned();
        stalls.rows[1].wheelchair = vec![1, 12];
        let plan = Plan { sections: vec![stalls, admission("floor", 100)] };
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(plan.capacity(), 122);
        assert_eq!(plan.categories().into_iter().collect::<Vec<_>>(), ["premium", "standard"]);
        let mut only = seated("only", &[("A", 1)]);
        only.rows[0].category = "premium".to_owned();
        let plan = Plan { sections: vec![only] };
        assert_eq!(plan.categories().into_iter().collect::<Vec<_>>(), ["premium"]);
    }

    #[test]
    fn each_fault_of_a_section_is_named() {
        assert_eq!(wrong(vec![]), ["plan.sections"]);
        let twice = vec![admission("a", 1), admission("a", 1)];
        assert_eq!(wrong(twice), ["plan.sections[1].key"]);
        assert_eq!(wrong(vec![admission("a/b", 1)]), ["plan.sections[0].key"]);
        assert_eq!(wrong(vec![admission("", 1)]).len(), 2, "key and name");
        assert_eq!(wrong(vec![admission("a", 0)]), ["plan.sections[0].capacity"]);
        assert_eq!(wrong(vec![seated("a", &[])]), ["plan.sections[0].rows"]);
        let mixed = Section { capacity: 5, ..seated("a", &[("A", 1)]) };
        assert_eq!(wrong(vec![mixed]), ["plan.sections[0].capacity"]);
        let mixed = Section { rows: seated("a", &[("A", 1)]).rows, ..admission("a", 1) };
        assert_eq!(wrong(vec![mixed]), ["plan.sections[0].rows"]);
        let long = Section { name: "x".repeat(201), ..admission("a", 1) };
        assert_eq!(wrong(vec![long]), ["plan.sections[0].name"]);
        let zero = Section { name: "a\0b".to_owned(), ..admission("a", 1) };
        assert_eq!(wrong(vec![zero]), ["plan.sections[0].name"]);
        let bare = Section { category: String::new(), ..admission("a", 1) };
        assert_eq!(wrong(vec![bare]), ["plan.sections[0].category"]);
    }

    #[test]
    fn each_fault_of_a_row_is_named() {
        let row = |change: fn(&mut Row)| {
            let mut section = seated("a", &[("A", 10)]);
            change(&mut section.rows[0]);
            wrong(vec![section])
        };
        assert_eq!(
            wrong(vec![seated("a", &[("A", 1), ("A", 1)])]),
            ["plan.sections[0].rows[1].name"]
        );
        assert_eq!(row(|row| row.seats = 0), ["plan.sections[0].rows[0].seats"]);
        assert_eq!(row(|row| row.name.clear()), ["plan.sections[0].rows[0].name"]);
        assert_eq!(row(|row| row.name = "A/1".into()), ["plan.sections[0].rows[0].name"]);
        assert_eq!(row(|row| row.name = "x".repeat(99)), ["plan.sections[0].rows[0].name"]);
        assert_eq!(row(|row| row.category = "a b".into()), ["plan.sections[0].rows[0].category"]);
        assert_eq!(row(|row| row.wheelchair = vec![11]), ["plan.sections[0].rows[0].wheelchair"]);
        assert_eq!(row(|row| row.wheelchair = vec![2, 2]), ["plan.sections[0].rows[0].wheelchair"]);
        let numbers = row(|row| row.first_number = u32::MAX);
        assert_eq!(numbers, ["plan.sections[0].rows[0].first_number"]);
    }

    #[test]
    fn a_plan_has_limits_and_an_answer_names_few_faults() {
        assert_eq!(wrong(vec![admission("a", 200_001)]), ["plan.sections"]);
        assert_eq!(
            wrong(vec![seated("a", &[("A", u32::MAX), ("B", u32::MAX)])]),
            ["plan.sections"]
        );
        let names: Vec<String> = (0..2_001).map(|n| n.to_string()).collect();
        let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        assert_eq!(wrong(vec![seated("a", &rows)]), ["plan.sections"]);
        assert!(wrong(vec![seated("a", &rows[..2_000])]).is_empty());
        let empty: Vec<_> = names[..1_000].iter().map(|name| (name.as_str(), 0)).collect();
        assert_eq!(wrong(vec![seated("a", &empty)]).len(), 30);
    }
}
