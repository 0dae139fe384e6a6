//! What is stored as a document: seating plans and price categories, in shapes of their own, so
//! that the domain can change without the stored form.

use db::Error;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::domain::{Category, Plan, Row, Section, SectionKind};

#[derive(Serialize, Deserialize)]
struct StoredSection {
    key: String,
    name: String,
    category: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capacity: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rows: Vec<StoredRow>,
}

#[derive(Serialize, Deserialize)]
struct StoredRow {
    name: String,
    first: u32,
    seats: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    category: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wheelchair: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct StoredCategory {
    key: String,
    name: String,
    price_minor: i64,
}

pub(super) fn from_plan(plan: &Plan) -> Result<Value, Error> {
    let row = |row: &Row| StoredRow {
        name: row.name.clone(),
        first: row.first_number,
        seats: row.seats,
        category: row.category.clone(),
        wheelchair: row.wheelchair.clone(),
    };
    let section = |section: &Section| StoredSection {
        key: section.key.clone(),
        name: section.name.clone(),
        category: section.category.clone(),
        capacity: (section.kind == SectionKind::Admission).then_some(section.capacity),
        rows: section.rows.iter().map(row).collect(),
    };
    written(&plan.sections.iter().map(section).collect::<Vec<_>>())
}

pub(super) fn to_plan(document: Value) -> Result<Plan, Error> {
    let row = |row: StoredRow| Row {
        name: row.name,
        first_number: row.first,
        seats: row.seats,
        category: row.category,
        wheelchair: row.wheelchair,
    };
    let section = |section: StoredSection| Section {
        key: section.key,
        name: section.name,
        kind: match section.capacity {
            Some(_) => SectionKind::Admission,
            None => SectionKind::Seated,
        },
        category: section.category,
        capacity: section.capacity.unwrap_or(0),
        rows: section.rows.into_iter().map(row).collect(),
    };
    let stored: Vec<StoredSection> = read("plan", document)?;
    Ok(Plan { sections: stored.into_iter().map(section).collect() })
}

pub(super) fn from_categories(categories: &[Category]) -> Result<Value, Error> {
    let stored = |category: &Category| StoredCategory {
        key: category.key.clone(),
        name: category.name.clone(),
        price_minor: category.price_minor,
    };
    written(&categories.iter().map(stored).collect::<Vec<_>>())
}

pub(super) fn to_categories(document: Value) -> Result<Vec<Category>, Error> {
    let stored: Vec<StoredCategory> = read("categories", document)?;
    let category = |StoredCategory { key, name, price_minor }| Category { key, name, price_minor };
    Ok(stored.into_iter().map(category).collect())
}

fn written<T: Serialize>(stored: &T) -> Result<Value, Error> {
    serde_json::to_value(stored).map_err(|error| Error::Statement(error.to_string()))
}

fn read<T: DeserializeOwned>(column: &str, document: Value) -> Result<T, Error> {
    serde_json::from_value(document)
        .map_err(|error| Error::Corrupt { column: column.to_owned(), detail: error.to_string() })
}
