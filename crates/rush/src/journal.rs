//! What buyers were told, one JSON object a line, as `boxoffice audit --journal` reads it.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

/// An answer that counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told<'a> {
    /// A booking, as it was answered or shown later.
    Booking {
        account: &'a str,
        /// The idempotency key of the request that opened it.
        key: &'a str,
        /// The [`body_hash`] of that request.
        body: u64,
        http: u16,
        booking: &'a str,
        reference: &'a str,
        status: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        total_minor: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        currency: Option<&'a str>,
    },
    /// A place in the queue, as it was given or shown later.
    Place { account: &'a str, event: &'a str, number: u64, status: &'a str },
}

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
    failure: Mutex<Option<String>>,
}

impl Journal {
    /// Begins a journal in the file at `path`.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        let file = Mutex::new(BufWriter::new(File::create(path)?));
        Ok(Self { path: path.to_owned(), file, failure: Mutex::default() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes what somebody was told. What goes wrong is told by [`close`](Self::close).
    pub(crate) fn note(&self, told: &Told<'_>) {
        let written =
            serde_json::to_vec(told).map_err(std::io::Error::from).and_then(|mut line| {
                line.push(b'\n');
                self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
            });
        if let Err(error) = written {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.to_string());
        }
    }

    /// Hands all of it to the file; says what could not be written.
    pub(crate) fn close(&self) -> Result<(), String> {
        let flushed = self.file.lock().unwrap_or_else(PoisonError::into_inner).flush();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (flushed, failure) {
            (_, Some(failure)) => Err(failure),
            (flushed, None) => flushed.map_err(|error| error.to_string()),
        }
    }
}

/// Tells bodies of requests apart: FNV-1a, 64 bits.
pub(crate) fn body_hash(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_the_audit_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::create(&directory.path().join("journal")).unwrap();
        journal.note(&Told::Booking {
            account: "a",
            key: "k",
            body: body_hash(b"{}"),
            http: 201,
            booking: "b",
            reference: "BKG",
            status: "confirmed",
            total_minor: Some(4_200),
            currency: Some("EUR"),
        });
        journal.note(&Told::Place { account: "a", event: "e", number: 7, status: "waiting" });
        journal.close().unwrap();
        let text = std::fs::read_to_string(journal.path()).unwrap();
        let expected = concat!(
            r#"{"booking":{"account":"a","key":"k","body":"#,
            "645223143103797797",
            r#","http":201,"booking":"b","reference":"BKG","status":"confirmed","#,
            r#""total_minor":4200,"currency":"EUR"}}"#,
            "\n",
            r#"{"place":{"account":"a","event":"e","number":7,"status":"waiting"}}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }
}
