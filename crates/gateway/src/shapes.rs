//! The JSON of each noun, to and from the wire.

pub(crate) mod account;
pub(crate) mod availability;
pub(crate) mod booking;
pub(crate) mod event;
pub(crate) mod payment;
pub(crate) mod queue;
pub(crate) mod ticket;

use kernel::{Failure, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::pb::kernel::v1 as pb;

/// An amount in minor units of a currency.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Money {
    /// Cents; whole yen.
    #[schema(example = 1250)]
    pub minor: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
}

impl From<pb::Money> for Money {
    fn from(money: pb::Money) -> Self {
        Self { minor: money.minor, currency: money.currency }
    }
}

/// A moment in RFC 3339; none for 0.
pub(crate) fn moment(micros: i64) -> Option<String> {
    (micros != 0).then(|| Timestamp::from_micros(micros).to_string())
}

/// A moment in RFC 3339 that is always there.
pub(crate) fn at(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

/// A text; none if empty.
pub(crate) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// An enum's name on the wire without its prefix, in lower case: `payment_pending`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// Reads a moment of field `field`.
pub(crate) fn micros(field: &str, text: &str) -> Result<i64, Failure> {
    wire::id::<Timestamp>(field, text).map(Timestamp::micros)
}

/// Reads a moment that may be left out.
pub(crate) fn micros_or_0(field: &str, text: Option<&str>) -> Result<i64, Failure> {
    text.map_or(Ok(0), |text| micros(field, text))
}
