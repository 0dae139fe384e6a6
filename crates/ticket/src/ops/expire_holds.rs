//! Expires holds that have lapsed: their places are free again.

use db::Tx;
use kernel::Timestamp;
use wire::Context;

use crate::{
    NAME,
    app::App,
    counters::Outcome,
    domain::hold::HoldStatus,
    error::Error,
    ledger::{self, Changes, Desk, GiveBack},
    store::holds,
};

const REASON: &str = "expired";

/// Expires one batch of lapsed holds, and returns how many.
///
/// # Errors
/// Why the database refused.
pub async fn expire_holds(app: &App) -> Result<usize, Error> {
    let (now, limit) = (app.now(), app.config.expiry_batch);
    let lapsed =
        app.db.read(move |tx| Box::pin(async move { holds::lapsed_events(tx, now, limit).await }));
    let lapsed: Result<Vec<_>, db::Error> = lapsed.await;
    let lapsed = lapsed?;
    if lapsed.is_empty() {
        return Ok(0);
    }
    let mut rooms = Vec::with_capacity(lapsed.len());
    for event_id in lapsed {
        // In memory, messages name the places' categories.
        rooms.push(app.maps.room(event_id).await?);
    }
    let _writing: Vec<_> = rooms.iter().map(|room| room.writing()).collect();
    let desk = app.desk.clone();
    let expired = app.db.write(move |tx| {
        let desk = desk.clone();
        Box::pin(async move { expire(tx, &desk, now, limit).await })
    });
    let (count, changes) = expired.await?;
    app.maps.apply(&changes);
    app.outbox().wake();
    let outcome = Outcome { outcome: REASON };
    app.counted.released.get_or_create(&outcome).inc_by(u64::try_from(count).unwrap_or(0));
    Ok(count)
}

async fn expire(
    tx: &mut Tx,
    desk: &Desk,
    now: Timestamp,
    limit: u32,
) -> Result<(usize, Changes), Error> {
    let lapsed = holds::lock_lapsed(tx, now, limit).await?;
    let context = Context::service(NAME);
    let ended: Vec<GiveBack<'_>> = lapsed
        .iter()
        .map(|hold| GiveBack {
            hold,
            status: HoldStatus::Expired,
            reason: REASON,
            at: now,
            context: &context,
        })
        .collect();
    Ok((lapsed.len(), ledger::give_back(tx, desk, &ended).await?))
}
