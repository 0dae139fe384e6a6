//! Takes in how a refund stands at the provider: refund, payment, history and event in one
//! transaction.

use std::sync::Arc;

use db::Tx;
use kernel::{Failure, Timestamp};

use crate::{
    app::App,
    domain::{Change, Refund, RefundState},
    events,
    ledger::{Ledger, Step},
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
    let shared = Arc::new((app.desk.clone(), verdict, entry));
    let written = app.db.write(move |tx| {
        let shared = shared.clone();
        Box::pin(async move {
            let (desk, verdict, entry) = &*shared;
            let mut ledger = Ledger::new(desk);
            ledger.note(entry);
            ledger.lock(tx, vec![payment]).await?;
            let refund = store::refund(tx, id).await?;
            let mut refund = refund.ok_or_else(|| Failure::not_found("refund"))?;
            let change = take_in_refund(tx, &mut ledger, &mut refund, (verdict, now)).await?;
            ledger.write(tx).await?;
            Ok::<_, Failure>((refund, change))
        })
    });
    let (refund, change) = written.await?;
    app.announce(change.as_ref());
    Ok(refund)
}

/// Takes in a verdict, in a transaction that holds the lock of the refund's payment.
pub(crate) async fn take_in_refund(
    tx: &mut Tx,
    ledger: &mut Ledger<'_>,
    refund: &mut Refund,
    (verdict, now): (&Verdict, Timestamp),
) -> Result<Option<Change>, Failure> {
    let new = refund.provider_reference.is_none() && verdict.reference.is_some();
    if new {
        refund.provider_reference.clone_from(&verdict.reference);
    }
    if !refund.state.may_become(verdict.state) {
        let pending = refund.state == RefundState::Pending;
        let again = pending.then(|| ledger.desk.patience.next(now, refund.attempts));
        match again {
            _ if new => store::update_refund(tx, refund, again).await?,
            Some(again) => store::put_off_refund(tx, refund.id, again).await?,
            None => {}
        }
        return Ok(None);
    }
    let mut payment = ledger.payment(refund.payment)?.clone();
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
    if let Some(fact) = change.fact {
        ledger.tell(events::refunded(&payment, refund, fact, &*ledger.desk.ids, now)?);
    }
    let cause = format!("refund {} {}", refund.id, refund.state.as_str());
    ledger.record(payment, &Step { from, cause: &cause, now });
    Ok(Some(change))
}
