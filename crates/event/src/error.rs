//! Why a verb refuses, and the one mapping to what callers are told.

use kernel::{Code, Failure, FieldError};

use crate::domain::{EditRefusal, Refusal, Status};

/// Why a verb refuses or fails.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such venue, or it is not the caller's.
    #[error("venue not found")]
    VenueNotFound,
    /// There is no such event, or it is not the caller's to see.
    #[error("event not found")]
    EventNotFound,
    /// Fields are wrong.
    #[error("fields are wrong")]
    Invalid(Vec<FieldError>),
    /// The draft is not ready to be published.
    #[error("the draft is not ready")]
    NotReady(Vec<FieldError>),
    /// What buyers rely on can't be changed any more.
    #[error("published: {0:?} can't be changed any more")]
    Frozen(Vec<&'static str>),
    /// The event is over.
    #[error("the event is {}", .0.as_str())]
    Closed(Status),
    /// The state machine has no such step.
    #[error(transparent)]
    Step(#[from] Refusal),
    /// The caller has seen an older version.
    #[error("the event has changed: version {0}")]
    Stale(i64),
    /// A refusal that is already in words for callers.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The database refused.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<EditRefusal> for Error {
    fn from(refusal: EditRefusal) -> Self {
        match refusal {
            EditRefusal::Closed(status) => Self::Closed(status),
            EditRefusal::Frozen(fields) => Self::Frozen(fields),
            EditRefusal::Invalid(fields) => Self::Invalid(fields),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::VenueNotFound => Self::not_found("venue"),
            Error::EventNotFound => Self::not_found("event"),
            Error::Invalid(fields) => wrong("INVALID_ARGUMENT", fields),
            Error::NotReady(fields) => wrong("EVENT_NOT_READY", fields),
            Error::Frozen(fields) => {
                Self::new(Code::Conflict, "EVENT_PUBLISHED", "published: can't be changed any more")
                    .with("fields", fields.join(","))
            }
            Error::Closed(status) => {
                Self::new(Code::Conflict, "EVENT_CLOSED", detail).with("status", status.as_str())
            }
            Error::Step(refusal) => Self::new(Code::Conflict, "EVENT_STATUS", detail)
                .with("status", refusal.from.as_str()),
            Error::Stale(version) => {
                Self::new(Code::Stale, "STALE_VERSION", detail).with("version", version)
            }
            Error::Failure(failure) => failure,
            Error::Db(error) => error.into(),
        }
    }
}

fn wrong(reason: &'static str, fields: Vec<FieldError>) -> Failure {
    let named: Vec<&str> = fields.iter().map(|field| field.field.as_str()).collect();
    let mut failure = Failure::new(Code::Invalid, reason, format!("wrong: {}", named.join(", ")));
    failure.fields = fields;
    failure
}
