//! Takes in how a refund stands at the provider: refund, payment, history and event in one
//! transaction.

use std::sync::Arc;

use db::Tx;
use kernel::{Failure, Timestamp};

use super::observe::{Step, done, locked, write};
use crate::{
    app::App,
    domain::{Change, Payment, Refund, RefundState},
    events,
    store::{self, Entry},
};

/// How the provider's refund stands.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) state: RefundState,
    /// Its id there.
    pub(crate) reference: Option<String>,
}

/// Takes in what a call of ours was answered with.
pub(crate) async fn settle_refund(
    app: &Arc<App>,
    refund: &Refund,
    verdict: Verdict,
    entry: Entry,
) -> Result<Refund, Failure> {
    let now = app.now();
    let (id, payment) = (refund.id, refund.payment);
    let shared = Arc::new((app.clone(), verdict, entry));
    let written = app.db.write(move |tx| {
        let shared = shared.clone();
        Box::pin(async move {
            let (app, verdict, entry) = &*shared;
            store::insert_entry(tx, entry).await?;
            let mut payment = locked(tx, payment).await?;
            let refund = store::refund(tx, id).await?;
            let mut refund = refund.ok_or_else(|| Failure::not_found("refund"))?;
            let change = take_in_refund(tx, app, &mut payment, &mut refund, (verdict, now)).await?;
            Ok::<_, Failure>((refund, change))
        })
    });
    let (refund, change) = written.await?;
    done(app, change.as_ref());
    Ok(refund)
}

/// Takes in a verdict inside a transaction that holds the payment's lock.
pub(crate) async fn take_in_refund(
    tx: &mut Tx,
    app: &App,
    payment: &mut Payment,
    refund: &mut Refund,
    (verdict, now): (&Verdict, Timestamp),
) -> Result<Option<Change>, Failure> {
    let new = refund.provider_reference.is_none() && verdict.reference.is_some();
    if new {
        refund.provider_reference.clone_from(&verdict.reference);
    }
    if !refund.state.may_become(verdict.state) {
        let pending = refund.state == RefundState::Pending;
        let again = pending.then(|| app.patience.next(now, refund.attempts));
        match again {
            _ if new => store::update_refund(tx, refund, again).await?,
            Some(again) => store::put_off_refund(tx, refund.id, again).await?,
            None => {}
        }
        return Ok(None);
    }
    let from = payment.state;
    let minor = refund.amount_minor;
    let change = match verdict.state {
        RefundState::Failed => payment.refund_failed(minor, refund.state == RefundState::Succeeded),
        _ => payment.refund_succeeded(minor).map_err(|refusal| {
            Failure::internal(format!("refund {} of {from:?}: {refusal:?}", refund.id))
        })?,
    };
    refund.state = verdict.state;
    refund.updated_at = now;
    store::update_refund(tx, refund, None).await?;
    let cause = format!("refund {} {}", refund.id, refund.state.as_str());
    let step = Step { from, change: &change, cause: &cause, now };
    write(tx, payment, &step, None).await?;
    if let Some(fact) = change.fact {
        let event = events::refunded(payment, refund, fact, &*app.ids, now)?;
        app.outbox.append(tx, &[event]).await?;
    }
    Ok(Some(change))
}
