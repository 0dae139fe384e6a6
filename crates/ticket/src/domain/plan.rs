//! An event's seating plan as it was published: sections, rows and seats, the best first.

use std::collections::HashMap;

use kernel::{Choice, Failure, Place, SeatRef};

/// The most places of one event.
pub const MAX_PLACES: u32 = 200_000;
/// The most rows of one event.
pub const MAX_ROWS: usize = 2_000;
/// The most sections of one event.
pub const MAX_SECTIONS: usize = 500;
/// The most seats of one row.
pub const MAX_ROW_SEATS: u32 = 1_000;
/// The highest number a seat may have.
const MAX_SEAT_NUMBER: u32 = 1_000_000;
/// The longest key or name, in bytes.
const MAX_NAME_BYTES: usize = 40;

/// Whether places of a section have numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows of numbered seats.
    Seated,
    /// So many may enter.
    Admission,
}

impl Kind {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seated => "seated",
            Self::Admission => "admission",
        }
    }
}

/// A part of the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Unique in the plan.
    pub key: String,
    /// Whether its places have numbers.
    pub kind: Kind,
    /// Price category of its places, where a row does not say otherwise.
    pub category: String,
    /// How many places it has.
    pub capacity: u32,
    /// The rows of a seated section, the best first.
    pub rows: Vec<Row>,
}

/// A row of seats, numbered `first_number`, `first_number` + 1, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Unique in its section.
    pub name: String,
    /// The number of its first seat.
    pub first_number: u32,
    /// How many seats it has.
    pub seats: u32,
    /// Its price category; none: the section's.
    pub category: Option<String>,
    /// The numbers that are wheelchair places, sorted.
    pub wheelchair: Vec<u32>,
}

/// Where a seat is: its row, counted through the whole plan, and its place in the row, both from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The row, counted through all sections.
    pub row: usize,
    /// The seat, counted from the row's first.
    pub offset: usize,
}

/// A checked plan, with what finds a seat by its name.
#[derive(Debug)]
pub struct Plan {
    sections: Vec<Section>,
    /// Section and row in the section, of each row of the plan.
    rows: Vec<(usize, usize)>,
    by_key: HashMap<String, usize>,
    /// Of each section: row of the plan by name.
    by_name: Vec<HashMap<String, usize>>,
    capacity: u32,
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.sections == other.sections
    }
}

impl Plan {
    /// A plan of these sections.
    ///
    /// # Errors
    /// Names the field that is wrong: empty, doubled, out of range, or not fit for a seat's name.
    pub fn new(sections: Vec<Section>) -> Result<Self, Failure> {
        if sections.is_empty() || sections.len() > MAX_SECTIONS {
            let detail = format!("1 to {MAX_SECTIONS} sections");
            return Err(Failure::invalid("plan.sections", detail));
        }
        let mut plan = Self {
            sections: Vec::new(),
            rows: Vec::new(),
            by_key: HashMap::new(),
            by_name: Vec::new(),
            capacity: 0,
        };
        for (at, section) in sections.into_iter().enumerate() {
            plan.add(&format!("plan.sections[{at}]"), section)?;
        }
        Ok(plan)
    }

    fn add(&mut self, field: &str, section: Section) -> Result<(), Failure> {
        check_key(&format!("{field}.key"), &section.key)?;
        check_name(&format!("{field}.category"), &section.category)?;
        check_kind(field, &section)?;
        let at = self.sections.len();
        if self.by_key.insert(section.key.clone(), at).is_some() {
            return Err(Failure::invalid(format!("{field}.key"), "is there twice"));
        }
        self.capacity = self.capacity.saturating_add(section.capacity);
        if self.capacity > MAX_PLACES || self.rows.len() + section.rows.len() > MAX_ROWS {
            let detail = format!("at most {MAX_PLACES} places and {MAX_ROWS} rows");
            return Err(Failure::invalid("plan", detail));
        }
        let mut names = HashMap::with_capacity(section.rows.len());
        for (number, row) in section.rows.iter().enumerate() {
            let field = format!("{field}.rows[{number}]");
            check_row(&field, &section.key, row)?;
            if names.insert(row.name.clone(), self.rows.len()).is_some() {
                return Err(Failure::invalid(format!("{field}.name"), "is there twice"));
            }
            self.rows.push((at, number));
        }
        self.by_name.push(names);
        self.sections.push(section);
        Ok(())
    }

    /// The sections, the best first.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// How many places there are.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many rows there are in all sections.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// The section called `key`.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Section> {
        self.sections.get(*self.by_key.get(key)?)
    }

    /// A row, counted through the whole plan, and its section.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<(&Section, &Row)> {
        let (section, number) = self.rows.get(row)?;
        let section = self.sections.get(*section)?;
        Some((section, section.rows.get(*number)?))
    }

    /// Where a seat is, if there is such a seat.
    #[must_use]
    pub fn find(&self, seat: &SeatRef) -> Option<Spot> {
        let section = *self.by_key.get(seat.section())?;
        let row = *self.by_name.get(section)?.get(seat.row())?;
        let (_, found) = self.row(row)?;
        // One seat has one name: no sign, no leading zero.
        let text = seat.number();
        if !text.bytes().all(|byte| byte.is_ascii_digit())
            || (text.len() > 1 && text.starts_with('0'))
        {
            return None;
        }
        let offset = text.parse::<u32>().ok()?.checked_sub(found.first_number)?;
        (offset < found.seats).then_some(Spot { row, offset: offset as usize })
    }

    /// The name of the seat at `spot`.
    #[must_use]
    pub fn seat(&self, spot: Spot) -> Option<SeatRef> {
        let (section, row) = self.row(spot.row)?;
        let number = row.first_number.checked_add(u32::try_from(spot.offset).ok()?)?;
        SeatRef::new(&section.key, &row.name, &number.to_string()).ok()
    }

    /// The place that `seat` is, if there is such a seat.
    #[must_use]
    pub fn place(&self, seat: &SeatRef) -> Option<Place> {
        let spot = self.find(seat)?;
        let (section, row) = self.row(spot.row)?;
        Some(Place {
            section: section.key.clone(),
            seat: Some(seat.clone()),
            category: row.category_in(section).to_owned(),
            wheelchair: row.is_wheelchair(spot.offset),
        })
    }

    /// The sections of admissions that a wish for the best places may mean, where no seat is meant:
    /// those of this key and category. Empty if any seat is meant.
    #[must_use]
    pub fn admissions_meant(&self, section: Option<&str>, category: Option<&str>) -> Vec<&str> {
        let meant = |found: &&Section| section.is_none_or(|key| key == found.key);
        let of_category = |wanted: &str| category.is_none_or(|category| category == wanted);
        let seats = self
            .sections
            .iter()
            .filter(meant)
            .any(|found| found.rows.iter().any(|row| of_category(row.category_in(found))));
        if seats {
            return Vec::new();
        }
        let areas = self
            .sections
            .iter()
            .filter(meant)
            .filter(|found| found.kind == Kind::Admission && of_category(&found.category));
        areas.map(|found| found.key.as_str()).collect()
    }

    /// Refuses a wish for what the house has not.
    ///
    /// # Errors
    /// Names the seat, section or category that there is not.
    pub fn check(&self, choice: &Choice) -> Result<(), Failure> {
        match choice {
            Choice::Seats(seats) => {
                let unknown = seats.iter().enumerate().find(|(_, seat)| self.find(seat).is_none());
                if let Some((at, seat)) = unknown {
                    let field = format!("choice.seats[{at}]");
                    return Err(Failure::invalid(field, format!("no seat {seat}")));
                }
            }
            Choice::Admissions { section, .. } => {
                let found = self.section(section);
                if found.is_none_or(|found| found.kind != Kind::Admission) {
                    let field = "choice.admissions.section";
                    return Err(Failure::invalid(field, "no section of admissions"));
                }
            }
            Choice::BestAvailable { section, category, .. } => {
                let (section, category) = (section.as_deref(), category.as_deref());
                if section.is_some_and(|key| self.section(key).is_none()) {
                    return Err(Failure::invalid("choice.best_available.section", "no such one"));
                }
                let of = |found: &Section| {
                    let wanted = |name: &str| category.is_none_or(|category| category == name);
                    let rows = found.rows.iter().any(|row| wanted(row.category_in(found)));
                    rows || (found.kind == Kind::Admission && wanted(&found.category))
                };
                let meant = |found: &&Section| section.is_none_or(|key| key == found.key);
                if !self.sections.iter().filter(meant).any(of) {
                    return Err(Failure::invalid("choice.best_available.category", "no such one"));
                }
            }
        }
        Ok(())
    }
}

impl Row {
    /// Its price category.
    #[must_use]
    pub fn category_in<'a>(&'a self, section: &'a Section) -> &'a str {
        self.category.as_deref().unwrap_or(&section.category)
    }

    /// Whether the seat at `offset` is a wheelchair place.
    #[must_use]
    pub fn is_wheelchair(&self, offset: usize) -> bool {
        let number = u32::try_from(offset).ok().and_then(|at| self.first_number.checked_add(at));
        number.is_some_and(|number| self.wheelchair.binary_search(&number).is_ok())
    }
}

fn check_key(field: &str, key: &str) -> Result<(), Failure> {
    check_name(field, key)?;
    if !key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        return Err(Failure::invalid(field, "letters, digits, - and _ only"));
    }
    Ok(())
}

fn check_name(field: &str, name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Failure::invalid(field, format!("1 to {MAX_NAME_BYTES} bytes")));
    }
    Ok(())
}

fn check_kind(field: &str, section: &Section) -> Result<(), Failure> {
    let seats = section.rows.iter().fold(0_u32, |sum, row| sum.saturating_add(row.seats));
    match section.kind {
        Kind::Seated if section.rows.is_empty() => {
            Err(Failure::invalid(format!("{field}.rows"), "a seated section has rows"))
        }
        Kind::Seated if section.capacity != seats => {
            Err(Failure::invalid(format!("{field}.capacity"), format!("its rows have {seats}")))
        }
        Kind::Admission if !section.rows.is_empty() => {
            Err(Failure::invalid(format!("{field}.rows"), "an admission section has none"))
        }
        Kind::Admission if section.capacity == 0 => {
            Err(Failure::invalid(format!("{field}.capacity"), "at least 1"))
        }
        _ => Ok(()),
    }
}

fn check_row(field: &str, section: &str, row: &Row) -> Result<(), Failure> {
    if row.seats == 0 || row.seats > MAX_ROW_SEATS {
        let detail = format!("1 to {MAX_ROW_SEATS}");
        return Err(Failure::invalid(format!("{field}.seats"), detail));
    }
    let last = row.first_number.saturating_add(row.seats - 1);
    if last > MAX_SEAT_NUMBER {
        let detail = format!("numbers end at {MAX_SEAT_NUMBER}");
        return Err(Failure::invalid(format!("{field}.first_number"), detail));
    }
    check_name(&format!("{field}.name"), &row.name)?;
    if let Err(error) = SeatRef::new(section, &row.name, &last.to_string()) {
        return Err(Failure::invalid(format!("{field}.name"), error));
    }
    if let Some(category) = &row.category {
        check_name(&format!("{field}.category"), category)?;
    }
    let outside = |number: &u32| *number < row.first_number || *number > last;
    if row.wheelchair.iter().any(outside) || !row.wheelchair.is_sorted_by(|a, b| a < b) {
        let detail = "numbers of this row, sorted, each once";
        return Err(Failure::invalid(format!("{field}.wheelchair"), detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, first_number: u32, seats: u32) -> Row {
        Row { name: name.into(), first_number, seats, category: None, wheelchair: vec![] }
    }

    fn seated(key: &str, rows: Vec<Row>) -> Section {
        let capacity = rows.iter().map(|row| row.seats).sum();
        Section { key: key.into(), kind: Kind::Seated, category: "a".into(), capacity, rows }
    }

    fn area(key: &str, capacity: u32) -> Section {
        let kind = Kind::Admission;
        Section { key: key.into(), kind, category: "ga".into(), capacity, rows: vec![] }
    }

    #[test]
    fn a_seat_has_one_name_and_is_found_by_it_alone() {
        let plan = Plan::new(vec![seated("s", vec![row("A", 10, 3), row("B", 1, 2)])]).unwrap();
        for spot in [Spot { row: 0, offset: 2 }, Spot { row: 1, offset: 0 }] {
            assert_eq!(plan.find(&plan.seat(spot).unwrap()), Some(spot));
        }
        assert_eq!(plan.find(&"s/A/12".parse().unwrap()), Some(Spot { row: 0, offset: 2 }));
        for name in ["s/A/9", "s/A/13", "s/A/012", "s/A/x", "s/C/1", "t/A/10", "s/A/99999999999"] {
            assert_eq!(plan.find(&name.parse().unwrap()), None, "{name}");
        }
        assert_eq!(plan.capacity(), 5);
    }

    #[test]
    fn plans_that_can_not_be_sold_are_refused_by_the_field() {
        let wide = Row { wheelchair: vec![4], ..row("A", 1, 3) };
        let wrong: Vec<(Vec<Section>, &str)> = vec![
            (vec![], "plan.sections"),
            (vec![seated("s", vec![]), area("g", 1)], "plan.sections[0].rows"),
            (vec![area("g", 0)], "plan.sections[0].capacity"),
            (vec![area("g", 1), area("g", 1)], "plan.sections[1].key"),
            (vec![area("", 1)], "plan.sections[0].key"),
            (vec![area("a b", 1)], "plan.sections[0].key"),
            (vec![area(&"x".repeat(41), 1)], "plan.sections[0].key"),
            (vec![area("g", MAX_PLACES), area("h", 1)], "plan"),
            (vec![area("g", u32::MAX)], "plan"),
            (vec![seated("s", vec![row("A", 1, 0)])], "plan.sections[0].rows[0].seats"),
            (vec![seated("s", vec![row("A", 1, 1_001)])], "plan.sections[0].rows[0].seats"),
            (vec![seated("s", vec![row("A/1", 1, 3)])], "plan.sections[0].rows[0].name"),
            (vec![seated("s", vec![row("", 1, 3)])], "plan.sections[0].rows[0].name"),
            (
                vec![seated("s", vec![row("A", 1, 1), row("A", 1, 1)])],
                "plan.sections[0].rows[1].name",
            ),
            (
                vec![seated("s", vec![row("A", u32::MAX, 3)])],
                "plan.sections[0].rows[0].first_number",
            ),
            (vec![seated("s", vec![wide])], "plan.sections[0].rows[0].wheelchair"),
            (vec![Section { rows: vec![row("A", 1, 1)], ..area("g", 1) }], "plan.sections[0].rows"),
            (
                vec![Section { capacity: 9, ..seated("s", vec![row("A", 1, 1)]) }],
                "plan.sections[0].capacity",
            ),
            (
                vec![Section { category: String::new(), ..area("g", 1) }],
                "plan.sections[0].category",
            ),
            (vec![seated("s", (0..2_001).map(|n| row(&n.to_string(), 1, 1)).collect())], "plan"),
        ];
        for (sections, field) in wrong {
            let failure = Plan::new(sections).unwrap_err();
            assert_eq!(failure.fields[0].field, field, "{failure}");
        }
    }

    #[test]
    fn wishes_for_what_the_house_has_not_are_refused() {
        let plan = Plan::new(vec![seated("s", vec![row("A", 1, 3)]), area("g", 5)]).unwrap();
        let best = |section: Option<&str>, category: Option<&str>| Choice::BestAvailable {
            quantity: 1,
            section: section.map(str::to_owned),
            category: category.map(str::to_owned),
            wheelchair: 0,
        };
        let admissions = |key: &str| Choice::Admissions { section: key.into(), quantity: 1 };
        let seats = |name: &str| Choice::Seats(vec![name.parse().unwrap()]);
        let good = [best(None, None), best(Some("g"), Some("ga")), admissions("g"), seats("s/A/3")];
        assert!(good.iter().all(|choice| plan.check(choice).is_ok()));
        let bad = [
            best(Some("x"), None),
            best(None, Some("x")),
            best(Some("s"), Some("ga")),
            admissions("s"),
            admissions("x"),
            seats("s/A/4"),
        ];
        assert!(bad.iter().all(|choice| plan.check(choice).is_err()));
        assert_eq!(plan.admissions_meant(None, Some("ga")), ["g"]);
        assert_eq!(plan.admissions_meant(None, None), [""; 0], "seats are meant");
    }
}
