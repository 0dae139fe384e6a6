//! What a database can answer other than rows.

use kernel::Failure;

/// Why a statement or transaction failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database can't be reached, is closed, or has no free connection.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// As many transactions wait as may. Nothing was done.
    #[error("database overloaded: {0}")]
    Overloaded(String),
    /// A unique constraint refused a row. Named as PostgreSQL names it by default:
    /// `table_column_key`, `table_pkey`.
    #[error("unique constraint {constraint} violated")]
    Unique {
        /// The constraint's name.
        constraint: String,
    },
    /// A check, foreign key or not-null constraint refused a row.
    #[error("constraint violated: {0}")]
    Constraint(String),
    /// The transaction lost against another, also after trying again.
    #[error("transaction conflict")]
    Conflict,
    /// The statement took too long.
    #[error("statement timeout")]
    Timeout,
    /// A stored value is not what the program wrote: the database lied.
    #[error("column {column} holds what it never should: {detail}")]
    Corrupt {
        /// Position of the column in the statement's result, or its name.
        column: String,
        /// What was found.
        detail: String,
    },
    /// A migration that was applied has changed, or can't be applied.
    #[error("migration {name}: {detail}")]
    Migration {
        /// The migration's name.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// The statement itself is wrong.
    #[error("statement failed: {0}")]
    Statement(String),
}

impl Error {
    pub(crate) fn closed() -> Self {
        Self::Unavailable("the database is closed".to_owned())
    }

    pub(crate) fn overloaded() -> Self {
        Self::Overloaded("too many transactions wait".to_owned())
    }

    pub(crate) fn panicked() -> Self {
        Self::Statement("the transaction's body panicked".to_owned())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Overloaded(_) => Self::overloaded(error.to_string()),
            Error::Unavailable(_) | Error::Conflict | Error::Timeout => Self::unavailable(error),
            _ => Self::internal(error),
        }
    }
}
