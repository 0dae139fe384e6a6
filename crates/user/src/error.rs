//! What user-service refuses, and the one mapping to failures.

use kernel::{Code, Failure};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the profile has changed since version {seen}; it is at version {current}")]
    Stale { seen: i64, current: i64 },
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Stale { current, .. } => {
                Self::new(Code::Stale, "STALE_VERSION", detail).with("version", current)
            }
            Error::Failure(failure) => failure,
            Error::Database(error) => error.into(),
        }
    }
}
