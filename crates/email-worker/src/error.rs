//! What email-worker refuses, and the one mapping to failures.

use kernel::{Code, Failure};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("only a failed mail is tried again; this one is {0}")]
    NotFailed(&'static str),
    #[error("no contact for account {0} yet")]
    NoContact(kernel::AccountId),
    #[error(transparent)]
    Template(#[from] minijinja::Error),
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFailed(_) => Self::new(Code::Conflict, "MAIL_NOT_FAILED", detail),
            // The event that tells of it is on its way.
            Error::NoContact(_) => Self::unavailable(detail),
            Error::Template(error) => Self::internal(error),
            Error::Failure(failure) => failure,
            Error::Database(error) => error.into(),
        }
    }
}
