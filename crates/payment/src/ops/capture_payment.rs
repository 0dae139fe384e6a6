//! `capture_payment`: takes the authorized money. Safe to repeat.

use std::sync::Arc;

use kernel::{Failure, PaymentId};
use wire::Context;

use super::{
    batch::Request,
    observe::{reference, refusal, settle},
};
use crate::{
    app::{App, may_move_money},
    domain::{Payment, State},
};

/// Takes all that was authorized.
pub(crate) async fn capture_payment(
    app: &Arc<App>,
    context: &Context,
    id: PaymentId,
) -> Result<Payment, Failure> {
    may_move_money(&context.caller)?;
    let payment = app.write(Request::Read(id)).await?.payment()?;
    if payment.state.is_captured() {
        return Ok(payment);
    }
    let never_made = payment.provider_reference.is_none();
    if never_made || matches!(payment.state, State::Failed | State::Cancelled) {
        return Err(refusal(payment.state));
    }
    let called = app.stripe.capture_intent(reference(&payment)?).await;
    let heard = app.heard(id, &context.correlation_id, called);
    let payment = settle(app, &payment, heard, "capture_payment").await?;
    if payment.state.is_captured() { Ok(payment) } else { Err(refusal(payment.state)) }
}
