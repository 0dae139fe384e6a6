//! The history of a booking: the steps it took, in its own row.

use std::borrow::Cow;

use db::{Error, History, Tx};
use kernel::{BookingId, Timestamp};
use serde::{Deserialize, Serialize};

use super::stored;
use crate::{
    change::{Change, Transition},
    domain::{Input, Status},
};

/// A step as it is stored, with the version it led to and its place among the steps that did. What
/// most steps have in common is left out: a booking's row is written with each of them.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredStep<'a> {
    version: i64,
    #[serde(default, skip_serializing_if = "is_first")]
    ordinal: i64,
    from: Cow<'a, str>,
    to: Cow<'a, str>,
    input: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    reason: Cow<'a, str>,
    at: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_first(ordinal: &i64) -> bool {
    *ordinal == 0
}

impl StoredStep<'_> {
    /// Whether the booking got its offer by it, which it keeps.
    pub(super) fn makes_offer(&self) -> bool {
        self.input == Input::SeatsReserved.as_str()
    }
}

/// The steps that a change takes.
pub(crate) fn steps(change: &Change) -> impl Iterator<Item = StoredStep<'static>> {
    let steps = (0_i64..).zip(&change.transitions);
    steps.map(|(ordinal, step)| StoredStep {
        version: change.booking.version,
        ordinal,
        from: step.from.as_str().into(),
        to: step.to.as_str().into(),
        input: step.input.as_str().into(),
        reason: step.reason.clone().into(),
        at: step.at.micros(),
    })
}

/// The steps that a booking took, oldest first; none if there is no such booking.
pub(crate) async fn history(tx: &mut Tx, id: BookingId) -> Result<Vec<Transition>, Error> {
    let row = tx.query_opt("select history from bookings where id = $1", &[id.into()]).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let read = |step: StoredStep<'_>| {
        Ok(Transition {
            from: stored::named("history.from", &step.from, Status::named)?,
            to: stored::named("history.to", &step.to, Status::named)?,
            input: stored::named("history.input", &step.input, Input::named)?,
            reason: step.reason.into_owned(),
            at: Timestamp::from_micros(step.at),
        })
    };
    row.get::<History>(0)?.steps()?.into_iter().map(read).collect()
}
