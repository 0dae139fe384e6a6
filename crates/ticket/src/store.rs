//! All SQL of this service; one function, one promise. Statements over many rows are of the form
//! that `db::Tx::execute_all` explains.

pub mod claims;
pub mod holds;
pub mod inventories;
pub mod keys;
pub mod sections;
pub mod tickets;

use std::fmt::Display;

use db::Error;

/// The database lied: `column` holds what this service never wrote.
fn corrupt(column: &str, detail: impl Display) -> Error {
    Error::Corrupt { column: column.to_owned(), detail: detail.to_string() }
}
