//! `cancel_payment`: gives up a payment that is not captured, and voids its authorization. Safe to
//! repeat.

use std::sync::Arc;

use kernel::{Failure, PaymentId};
use wire::Context;

use super::{
    create_intent::finish_creation,
    observe::{find, reference, refusal, settle},
};
use crate::{
    app::{App, may_move_money},
    domain::{Payment, State},
};

/// The longest reason, in bytes.
const MAX_REASON: usize = 200;

/// Gives a payment up.
pub(crate) async fn cancel_payment(
    app: &Arc<App>,
    context: &Context,
    id: PaymentId,
    reason: &str,
) -> Result<Payment, Failure> {
    may_move_money(&context.caller)?;
    if reason.len() > MAX_REASON {
        return Err(Failure::invalid("reason", format!("at most {MAX_REASON} bytes")));
    }
    let payment = find(app, id).await?;
    if matches!(payment.state, State::Failed | State::Cancelled) {
        return Ok(payment);
    }
    if payment.state.is_captured() {
        return Err(refusal(payment.state));
    }
    // Its creation may be half done: what may exist at the provider must be cancelled there.
    let payment = match finish_creation(app, payment).await {
        Err(failure) if failure.reason == "PAYMENT_REFUSED" => return find(app, id).await,
        created => created?,
    };
    let called = app.stripe.cancel_intent(reference(&payment)?).await;
    let heard = app.heard(id, &context.correlation_id, called);
    let payment = settle(app, &payment, heard, &format!("cancel_payment: {reason}")).await?;
    if payment.state == State::Cancelled { Ok(payment) } else { Err(refusal(payment.state)) }
}
