//! How bookings fail, and the one mapping to failures.

use kernel::{Code, Failure};

use crate::domain::Refusal;

/// Why a verb of this service was refused or could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such booking, or it is not the caller's to see.
    #[error("booking not found")]
    NotFound,
    /// There is no such dead letter.
    #[error("dead letter not found")]
    NoDeadLetter,
    /// The idempotency key came with another request before.
    #[error("the idempotency key was used for another booking")]
    KeyReused,
    /// The event has started.
    #[error("the event has started")]
    TooLate,
    /// The booking has ended already, and not by being cancelled.
    #[error("a booking that is {0} can't be cancelled")]
    NotCancellable(&'static str),
    /// Somebody else is at work on the booking.
    #[error("the booking is being worked on")]
    Busy,
    /// The state machine refuses.
    #[error(transparent)]
    Transition(#[from] Refusal),
    /// The request's form, or another service's refusal, passed on as it is.
    #[error("{0}")]
    Refused(Box<Failure>),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

/// After how long a caller who met work under way may try again, in milliseconds.
const BUSY_RETRY_MS: u64 = 1_000;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Refused(Box::new(failure))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFound => Self::not_found("booking"),
            Error::NoDeadLetter => Self::not_found("dead letter"),
            Error::KeyReused => Self {
                reason: "IDEMPOTENCY_KEY_REUSED".into(),
                ..Self::invalid("idempotency_key", detail)
            },
            Error::TooLate => Self::new(Code::Conflict, "TOO_LATE", detail),
            Error::NotCancellable(status) => {
                Self::new(Code::Conflict, "NOT_CANCELLABLE", detail).with("status", status)
            }
            Error::Busy => Self::unavailable(detail).retry_after(BUSY_RETRY_MS),
            Error::Transition(refusal) => refusal.into(),
            Error::Refused(failure) => *failure,
            Error::Db(error) => error.into(),
        }
    }
}
