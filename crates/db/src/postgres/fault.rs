//! What PostgreSQL's errors mean.

use std::{error::Error as _, io};

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::Error;

/// The error as the facade names it.
pub(super) fn error(error: &tokio_postgres::Error) -> Error {
    if let Some(error) = error.as_db_error() {
        return refusal(error);
    }
    let text = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let io = error.source().is_some_and(|source| source.is::<io::Error>());
    if io || error.is_closed() { Error::Unavailable(text) } else { Error::Statement(text) }
}

fn refusal(error: &DbError) -> Error {
    let code = error.code();
    let text = || format!("{}: {}", code.code(), error.message());
    if *code == SqlState::UNIQUE_VIOLATION {
        let constraint = error.constraint().unwrap_or_default().to_owned();
        return Error::Unique { constraint };
    }
    if is_conflict(code) || is_stale_plan(error) || is_recovery(error) {
        return Error::Conflict;
    }
    if matches!(*code, SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE) {
        return Error::Timeout;
    }
    // Of the server's; a pooler gives the same code to all of its own, which are fatal.
    if *code == SqlState::PROTOCOL_VIOLATION && error.parsed_severity() == Some(Severity::Error) {
        return Error::Statement(text());
    }
    match code.code().get(..2) {
        Some("23") => Error::Constraint(error.message().to_owned()),
        // Connection lost, out of resources, shutting down, not there, not let in.
        Some("08" | "53" | "57" | "58" | "3D" | "28") => Error::Unavailable(text()),
        _ if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Error::Unavailable(text()),
        _ => Error::Statement(text()),
    }
}

fn is_conflict(code: &SqlState) -> bool {
    matches!(*code, SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED)
}

/// A replica's replay needed what was being read.
fn is_recovery(error: &DbError) -> bool {
    *error.code() == SqlState::QUERY_CANCELED && error.message().contains("conflict with recovery")
}

/// A statement prepared before the schema changed, or forgotten by the server. Prepared anew, it
/// runs.
pub(super) fn is_stale_plan(error: &DbError) -> bool {
    match *error.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME => true,
        SqlState::FEATURE_NOT_SUPPORTED => error.message().contains("cached plan"),
        _ => false,
    }
}

/// Why the pool gave no connection.
pub(super) fn no_connection(error: &PoolError) -> Error {
    match error {
        PoolError::Backend(error) => Error::Unavailable(match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }),
        error => Error::Unavailable(error.to_string()),
    }
}
