//! What realtime-service refuses, and the one mapping to failures.

use kernel::Failure;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("only services and operators may do this")]
    NotAllowed,
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotAllowed => Self::forbidden(error.to_string()),
            Error::Failure(failure) => failure,
        }
    }
}
