//! What clients were told, as they write it down while they are at it: one JSON object a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;

/// An answer that a client got. One that never came is not written down; one that came twice may
/// be, and has to be the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledged {
    /// What a request for a booking was answered, or how the booking was shown later.
    Booking {
        /// Who asked.
        account: Uuid,
        /// The `Idempotency-Key` of the request that opened it.
        key: String,
        /// The [`body_hash`] of that request.
        body: u64,
        /// The HTTP status.
        http: u16,
        /// The booking's id; none where it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        booking: Option<Uuid>,
        /// Its reference.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Its status as it was shown, in lower case; empty where it was refused.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        status: String,
        /// Its total in minor units, once it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_minor: Option<i64>,
        /// The total's currency (ISO 4217).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        currency: Option<String>,
        /// The code it was refused with; empty where it was not.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        code: String,
    },
    /// A place in an event's queue, as it was given or as it was shown later.
    Place {
        /// Whose it is.
        account: Uuid,
        /// The event.
        event: Uuid,
        /// Its number.
        number: u64,
        /// `waiting`, `processing`, or what became of it: `admitted`, `completed`, `failed`,
        /// `expired`, `left`.
        status: String,
        /// What the queue booked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        booking: Option<Uuid>,
    },
}

/// A journal that is being written. Shared by all clients.
#[derive(Debug)]
pub struct Journal(Mutex<BufWriter<File>>);

impl Journal {
    /// Begins a journal in the file at `path`, in place of one that is there.
    ///
    /// # Errors
    /// If the file can't be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(BufWriter::new(File::create(path)?))))
    }

    /// Notes what a client was told.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn note(&self, told: &Acknowledged) -> io::Result<()> {
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }

    /// Hands all that was noted to the file, so that it can be read.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn flush(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }

    /// All that is written in the journal at `path`, in order.
    ///
    /// # Errors
    /// Names the line that is none.
    pub fn read(
        path: &Path,
    ) -> Result<impl Iterator<Item = Result<Acknowledged, Error>> + use<>, Error> {
        let wrong = |line: u64, detail: String| Error::Journal { line, detail };
        let file =
            File::open(path).map_err(|error| wrong(0, format!("{}: {error}", path.display())))?;
        let lines = (1_u64..).zip(BufReader::new(file).lines());
        Ok(lines.map(move |(number, line)| {
            let line = line.map_err(|error| wrong(number, error.to_string()))?;
            serde_json::from_str(&line).map_err(|error| wrong(number, error.to_string()))
        }))
    }
}

/// Tells bodies of requests apart: FNV-1a, 64 bits.
#[must_use]
pub fn body_hash(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> [Acknowledged; 2] {
        let (account, event) = (Uuid::from_u128(1), Uuid::from_u128(2));
        [
            Acknowledged::Booking {
                account,
                key: "k\n1".to_owned(),
                body: body_hash(b"{}"),
                http: 409,
                booking: None,
                reference: None,
                status: String::new(),
                total_minor: None,
                currency: None,
                code: "SEAT_TAKEN".to_owned(),
            },
            Acknowledged::Place {
                account,
                event,
                number: 7,
                status: "completed".to_owned(),
                booking: Some(Uuid::from_u128(3)),
            },
        ]
    }

    #[test]
    fn what_is_noted_is_read_again_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Journal::create(&path).unwrap();
        for told in &entries() {
            journal.note(told).unwrap();
        }
        journal.flush().unwrap();
        let read: Result<Vec<_>, _> = Journal::read(&path).unwrap().collect();
        assert_eq!(read.unwrap(), entries());
    }

    #[test]
    fn a_line_that_is_none_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        assert!(Journal::read(&path).is_err(), "there is none");
        let good = serde_json::to_string(&entries()[1]).unwrap();
        std::fs::write(&path, format!("{good}\n{}", &good[..20])).unwrap();
        let read: Vec<_> = Journal::read(&path).unwrap().collect();
        assert!(read[0].is_ok());
        let error = read[1].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("journal, line 2"), "{error}");
    }
}
