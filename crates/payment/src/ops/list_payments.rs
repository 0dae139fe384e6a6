//! `list_payments`: the caller's payments, newest first.

use std::sync::Arc;

use kernel::{Failure, Page, PaymentId};
use uuid::Uuid;
use wire::Context;

use crate::{app::App, domain::Payment, store};

/// A page of the caller's payments, and the cursor of the next one; empty after the last.
pub(crate) async fn list_payments(
    app: &Arc<App>,
    context: &Context,
    page: &Page,
) -> Result<(Vec<Payment>, String), Failure> {
    let account = context.caller.account()?;
    let before: PaymentId = match page.cursor.as_str() {
        "" => PaymentId::from_uuid(Uuid::max()),
        cursor => cursor.parse().map_err(|_| Failure::invalid("cursor", "not a cursor of ours"))?,
    };
    let wanted = usize::try_from(page.limit).unwrap_or(0);
    let limit = i64::from(page.limit) + 1;
    let found = app
        .db
        .view(move |tx| Box::pin(async move { store::list(tx, account, before, limit).await }));
    let found: Result<Vec<Payment>, db::Error> = found.await;
    let mut payments = found?;
    let more = payments.len() > wanted;
    payments.truncate(wanted);
    let next = payments.last().filter(|_| more).map(|payment| payment.id.to_string());
    Ok((payments, next.unwrap_or_default()))
}
