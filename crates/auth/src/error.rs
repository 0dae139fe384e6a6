//! What auth-service refuses, and the one mapping to failures.

use kernel::{Code, Failure, Timestamp};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("an account with this address exists")]
    EmailTaken,
    #[error("wrong address or password")]
    BadCredentials,
    #[error("too many wrong passwords; try again at {0}")]
    Locked(Timestamp, u64),
    #[error("prove your address with the PIN from the mail first")]
    NotVerified,
    #[error("wrong PIN")]
    BadPin,
    #[error("the PIN has expired or was tried too often; ask for a new one")]
    PinExpired,
    #[error("the address is proved already")]
    AlreadyVerified,
    #[error("the session is over; log in again")]
    SessionOver,
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::EmailTaken => Self::new(Code::Conflict, "EMAIL_TAKEN", detail),
            Error::BadCredentials => Self::new(Code::Unauthenticated, "BAD_CREDENTIALS", detail),
            Error::Locked(_, wait_ms) => {
                Self::new(Code::Exhausted, "ACCOUNT_LOCKED", detail).retry_after(wait_ms)
            }
            Error::NotVerified => Self::new(Code::Forbidden, "EMAIL_NOT_VERIFIED", detail),
            Error::BadPin => Self { reason: "INVALID_PIN".into(), ..Self::invalid("pin", detail) },
            Error::PinExpired => Self::new(Code::Conflict, "PIN_EXPIRED", detail),
            Error::AlreadyVerified => Self::new(Code::Conflict, "ALREADY_VERIFIED", detail),
            Error::SessionOver => Self::new(Code::Unauthenticated, "SESSION_OVER", detail),
            Error::Failure(failure) => failure,
            Error::Database(error) => error.into(),
        }
    }
}
