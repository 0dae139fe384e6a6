//! What booking-worker refuses, and the one mapping to failures.

use kernel::{Code, Failure};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the event is not known, or not public")]
    EventNotFound,
    #[error("the account has no place in this queue")]
    PlaceNotFound,
    #[error("the event has no queue")]
    NoQueue,
    #[error("the sale is over")]
    SaleOver,
    #[error("at most {0} places")]
    TooManyPlaces(u32),
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::EventNotFound => Self::not_found("event"),
            Error::PlaceNotFound => Self::not_found("place"),
            Error::NoQueue => Self::new(Code::Conflict, "NO_QUEUE", detail),
            Error::SaleOver => Self::new(Code::Conflict, "SALE_OVER", detail),
            Error::TooManyPlaces(limit) => {
                let mut failure = Self::invalid("wish", detail);
                failure.reason = "TOO_MANY_PLACES".into();
                failure.with("max_per_booking", limit)
            }
            Error::Failure(failure) => failure,
        }
    }
}
