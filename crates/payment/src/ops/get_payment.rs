//! `get_payment`: one payment, for its buyer, booking-service and people who run the platform.

use std::sync::Arc;

use kernel::{Caller, Failure, PaymentId, Role};
use wire::Context;

use super::observe::find;
use crate::{app::App, domain::Payment};

/// A payment that the caller may see; to all others it does not exist.
pub(crate) async fn get_payment(
    app: &Arc<App>,
    context: &Context,
    id: PaymentId,
) -> Result<Payment, Failure> {
    let payment = find(app, id).await?;
    let allowed = match &context.caller {
        Caller::Account { id, role, .. } => *id == payment.account || *role == Role::Admin,
        caller => caller.is_service("booking"),
    };
    if allowed { Ok(payment) } else { Err(Failure::not_found("payment")) }
}
