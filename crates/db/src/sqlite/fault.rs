//! What SQLite's errors mean.

use rusqlite::{Connection, ErrorCode, ffi};

use crate::Error;

/// The error as the facade names it. `connection` is asked for the name of a violated index.
pub(super) fn error(connection: &Connection, error: &rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(cause, message) = error else {
        return Error::Statement(error.to_string());
    };
    let text = message.clone().unwrap_or_else(|| cause.to_string());
    match cause.code {
        ErrorCode::ConstraintViolation => violation(connection, cause.extended_code, text),
        ErrorCode::OperationInterrupted => Error::Timeout,
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OutOfMemory
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase => Error::Unavailable(text),
        _ => Error::Statement(text),
    }
}

fn violation(connection: &Connection, extended_code: i32, text: String) -> Error {
    let Some((_, target)) = text.split_once("UNIQUE constraint failed: ") else {
        return Error::Constraint(text);
    };
    if let Some(index) = target.strip_prefix("index '") {
        return Error::Unique { constraint: index.trim_end_matches('\'').to_owned() };
    }
    // `table.a, table.b`
    let (table, _) = target.split_once('.').unwrap_or((target, ""));
    let prefix = format!("{table}.");
    let columns: Vec<&str> =
        target.split(", ").map(|name| name.strip_prefix(&prefix).unwrap_or(name)).collect();
    let primary = [ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_ROWID];
    let constraint = if primary.contains(&extended_code) {
        format!("{table}_pkey")
    } else {
        created_index(connection, table, &columns.join(","))
            .unwrap_or_else(|| format!("{table}_{}_key", columns.join("_")))
    };
    Error::Unique { constraint }
}

/// The name of the index that `create unique index` made for just these columns, if there is one:
/// PostgreSQL reports it by that name, SQLite only by its columns.
fn created_index(connection: &Connection, table: &str, columns: &str) -> Option<String> {
    let sql = "select l.name from pragma_index_list(?1) l where l.\"unique\" = 1 and l.origin = 'c'
               and (select group_concat(name, ',') from
                    (select name from pragma_index_info(l.name) order by seqno)) = ?2";
    connection.query_row(sql, [table, columns], |row| row.get(0)).ok()
}
