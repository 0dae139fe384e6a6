//! Gives a hold's places back. Requests that meet are decided in one transaction.

use std::{collections::HashSet, sync::Arc};

use db::Tx;
use kernel::{AccountId, EventId, Failure, HoldId, Timestamp};
use wire::Context;

use crate::{
    app::{App, operators_only},
    counters::Outcome,
    domain::{
        hold::{Hold, HoldStatus},
        seatmap::Change,
    },
    error::Error,
    ledger::{self, Desk, GiveBack},
    store::holds,
};

/// Why holds are given back.
const REASONS: [&str; 4] = ["cancelled", "expired", "payment_failed", "abandoned"];

/// Which hold, and why.
#[derive(Debug)]
pub struct ReleaseHold {
    /// The hold.
    pub hold_id: HoldId,
    /// cancelled, expired, payment_failed or abandoned.
    pub reason: String,
    /// Whose it has to be, if anybody's.
    pub account_id: Option<AccountId>,
}

/// A release in a batch.
pub(crate) struct Release {
    hold_id: HoldId,
    account_id: Option<AccountId>,
    reason: &'static str,
    at: Timestamp,
    context: Context,
}

impl Release {
    /// Whether it is about this hold.
    fn means(&self, hold: &Hold) -> bool {
        self.account_id.is_none_or(|account| account == hold.account_id)
    }
}

/// What was decided for it.
pub(crate) enum Decision {
    /// Its places are free again.
    Released(Arc<Change>),
    /// There was nothing to give back.
    Nothing,
    /// It became tickets.
    Issued,
}

/// Gives a hold's places back: of which event; nothing if there was nothing to give back.
///
/// # Errors
/// `HOLD_ISSUED` if it became tickets.
pub async fn release_hold(
    app: &App,
    context: &Context,
    command: ReleaseHold,
) -> Result<Option<EventId>, Error> {
    operators_only(context)?;
    let Some(reason) = REASONS.into_iter().find(|known| *known == command.reason) else {
        return Err(Failure::invalid("reason", format!("one of {}", REASONS.join(", "))).into());
    };
    let ReleaseHold { hold_id, account_id, .. } = command;
    drop(app.fresh.take(hold_id));
    let release = Release { hold_id, account_id, reason, at: app.now(), context: context.clone() };
    match app.releases.call(release).await? {
        Decision::Released(change) => {
            if let Some(room) = app.maps.peek(change.event_id) {
                room.apply(&change);
            }
            app.outbox().wake();
            app.counted.released.get_or_create(&Outcome { outcome: reason }).inc();
            Ok(Some(change.event_id))
        }
        Decision::Nothing => Ok(None),
        Decision::Issued => Err(Error::HoldIssued),
    }
}

/// Decides releases that met.
///
/// # Errors
/// Why the database refused.
pub(crate) async fn decide(
    tx: &mut Tx,
    desk: &Desk,
    releases: &[Release],
) -> Result<Vec<Result<Decision, Error>>, Error> {
    let ids: Vec<HoldId> = releases.iter().map(|release| release.hold_id).collect();
    let locked = holds::lock(tx, &ids).await?;
    let mut seen = HashSet::new();
    let mut ended: Vec<GiveBack<'_>> = Vec::new();
    let mut mine: Vec<Result<&Hold, Decision>> = Vec::with_capacity(releases.len());
    for release in releases {
        mine.push(match locked.get(&release.hold_id).filter(|hold| release.means(hold)) {
            Some(hold) if hold.status == HoldStatus::Held && seen.insert(hold.hold_id) => {
                ended.push(GiveBack {
                    hold,
                    status: HoldStatus::Released,
                    reason: release.reason,
                    at: release.at,
                    context: &release.context,
                });
                Ok(hold)
            }
            Some(hold) if hold.status == HoldStatus::Issued => Err(Decision::Issued),
            _ => Err(Decision::Nothing),
        });
    }
    let changes = ledger::give_back(tx, desk, &ended).await?;
    let decision = |hold: Result<&Hold, Decision>| {
        Ok(match hold {
            Ok(hold) => changes
                .get(&hold.event_id)
                .map_or(Decision::Nothing, |change| Decision::Released(change.clone())),
            Err(decision) => decision,
        })
    };
    Ok(mine.into_iter().map(decision).collect())
}
