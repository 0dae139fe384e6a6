//! Due work: finishes what a crash left half done, and asks the provider about payments and refunds
//! of which nothing was heard, so that money and tickets match even when every webhook is lost.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use kernel::Failure;
use tracing::warn;

use super::{
    create_intent::finish_creation,
    observe::look,
    refund_payment::{finish_refund, payment_of},
};
use crate::{
    app::App,
    domain::{Payment, Refund},
    store,
};

/// How many are asked about at once.
const PARALLEL: usize = 4;

/// Looks after payments that are due; whether there may be more.
pub(crate) async fn reconcile_payments(app: Arc<App>) -> Result<bool, Failure> {
    let (now, patience) = (app.now(), app.desk.patience);
    let taken = app.db.write(move |tx| {
        let lease = now.plus(patience.lease);
        Box::pin(async move { store::take_due(tx, now, lease, patience.batch).await })
    });
    let taken: Result<Vec<Payment>, db::Error> = taken.await;
    let taken = taken?;
    let more = i64::try_from(taken.len()).is_ok_and(|count| count == patience.batch);
    let app = &app;
    let each = stream::iter(taken).for_each_concurrent(PARALLEL, |payment| async move {
        if app.is_late(now) {
            return;
        }
        let (id, attempts) = (payment.id, payment.attempts);
        let looked = match payment.provider_reference {
            Some(_) => look(app, &payment, "reconcile").await,
            None => finish_creation(app, payment).await,
        };
        let Err(failure) = looked else { return };
        warn!(payment = %id, %failure, attempts, "payment not reconciled");
        let again = app.desk.patience.next(app.now(), attempts);
        let written =
            app.db.write(move |tx| Box::pin(async move { store::put_off(tx, id, again).await }));
        if let Err(error) = written.await {
            let error: db::Error = error;
            warn!(payment = %id, %error, "payment not put off");
        }
    });
    each.await;
    Ok(more)
}

/// Looks after refunds that are due; whether there may be more.
pub(crate) async fn reconcile_refunds(app: Arc<App>) -> Result<bool, Failure> {
    let (now, patience) = (app.now(), app.desk.patience);
    let taken = app.db.write(move |tx| {
        let lease = now.plus(patience.lease);
        Box::pin(async move { store::take_due_refunds(tx, now, lease, patience.batch).await })
    });
    let taken: Result<Vec<Refund>, db::Error> = taken.await;
    let taken = taken?;
    let more = i64::try_from(taken.len()).is_ok_and(|count| count == patience.batch);
    let app = &app;
    let each = stream::iter(taken).for_each_concurrent(PARALLEL, |refund| async move {
        if app.is_late(now) {
            return;
        }
        let id = refund.id;
        let looked = match payment_of(app, &refund).await {
            Ok(payment) => finish_refund(app, &payment, refund).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = looked {
            warn!(refund = %id, %failure, "refund not reconciled");
        }
    });
    each.await;
    Ok(more)
}
