//! Schema migrations: one list per engine, with checksums.

use crate::Error;

/// One migration: a name such as `0001_bookings` and its SQL, several statements allowed.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The file's name without its ending; sorts in order of application.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// The migrations of one owner, such as a service or the outbox.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// Who owns the tables: `booking`, `platform`.
    pub owner: &'static str,
    /// For PostgreSQL, in order.
    pub postgres: &'static [Migration],
    /// For SQLite, in order.
    pub sqlite: &'static [Migration],
}

impl Migration {
    /// FNV-1a of the text: it finds a changed file, it does not resist an attacker.
    #[must_use]
    pub fn checksum(&self) -> String {
        let hash = self.sql.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// Whether it is still to be applied, where the database has `found` as its checksum.
    pub(crate) fn is_due(&self, found: Option<&str>) -> Result<bool, Error> {
        match found {
            None => Ok(true),
            Some(found) if found == self.checksum() => Ok(false),
            Some(_) => Err(self.refused(&"was changed after it was applied")),
        }
    }

    pub(crate) fn refused(&self, detail: &impl ToString) -> Error {
        Error::Migration { name: self.name.to_owned(), detail: detail.to_string() }
    }

    /// Unavailability stays what it is; anything else is this migration's fault.
    pub(crate) fn failed(&self, error: Error) -> Error {
        match error {
            Error::Unavailable(_) | Error::Migration { .. } => error,
            error => self.refused(&error),
        }
    }
}

/// Refuses a list that is not in the order of its names, as it would apply differently on another
/// machine.
pub(crate) fn check_order(list: &[Migration]) -> Result<(), Error> {
    let pairs = list.iter().zip(list.iter().skip(1));
    match pairs.into_iter().find(|(earlier, later)| earlier.name >= later.name) {
        Some((_, later)) => Err(later.refused(&"not in the order of the names")),
        None => Ok(()),
    }
}
