//! Makes the payment at the provider, without taking anything; undone by cancelling it, which voids
//! an authorization.

use kernel::{Code, Failure, PaymentId, Secret};
use wire::{
    Context,
    pb::payment::v1::{
        CancelPaymentRequest, CreateIntentRequest, GetPaymentRequest, Payment, PaymentState,
        client::PaymentServiceClient,
    },
};

use crate::{
    app::App,
    domain::{Booking, Input},
    saga::{capture_payment, is_transient},
};

/// A payment that was made.
pub(crate) struct Made {
    pub(crate) id: PaymentId,
    pub(crate) client_secret: Secret<String>,
    /// What it has come to by now, where it was made before.
    pub(crate) paid: Option<Input>,
}

/// Makes the booking's payment. There is one per booking: a repeat gets the same.
pub(crate) async fn request_payment(
    app: &App,
    context: &Context,
    booking: &Booking,
) -> Result<Made, Failure> {
    let total = booking.total().ok_or_else(|| Failure::internal("a payment before the offer"))?;
    let request = CreateIntentRequest {
        booking_id: booking.id.to_string(),
        booking_reference: booking.reference.clone(),
        account_id: booking.account_id.to_string(),
        amount: Some(wire::to_money(total)),
    };
    let answer = client(app, context).create_intent(request).await;
    let payment = answer.map_err(|status| wire::failure(&status))?.into_inner();
    let id = payment.payment_id.parse().map_err(Failure::internal)?;
    let paid = paid(payment.state());
    Ok(Made { id, client_secret: Secret::new(payment.client_secret), paid })
}

const fn paid(state: PaymentState) -> Option<Input> {
    match state {
        PaymentState::Authorized => Some(Input::PaymentAuthorized),
        PaymentState::Captured => Some(Input::PaymentCaptured),
        _ => None,
    }
}

/// Gives the payment up, whatever it has come to: voids it, or refunds what turns out to be taken.
/// It may have been made without our learning of it: it bears the booking's id.
pub(crate) async fn cancel_payment(
    app: &App,
    context: &Context,
    booking: &mut Booking,
) -> Result<Input, Failure> {
    let own = PaymentId::from_uuid(booking.id.uuid());
    let id = booking.payment_id.unwrap_or(own);
    let request =
        CancelPaymentRequest { payment_id: id.to_string(), reason: booking.reason.clone() };
    let answer = client(app, context).cancel_payment(request).await;
    let refused = match answer.map_err(|status| wire::failure(&status)) {
        Ok(_) => {
            booking.payment_id = Some(id);
            return Ok(Input::PaymentVoided);
        }
        Err(failure) if failure.code == Code::NotFound => return Ok(Input::PaymentVoided),
        Err(failure) if is_transient(&failure) => return Err(failure),
        Err(failure) => failure,
    };
    booking.payment_id = Some(id);
    match get_payment(app, context, id).await?.state() {
        PaymentState::Captured | PaymentState::PartiallyRefunded | PaymentState::Refunded => {
            capture_payment::refund_payment(app, context, booking).await
        }
        PaymentState::Failed | PaymentState::Cancelled => Ok(Input::PaymentVoided),
        // It has come to something in between, and will come to an end.
        _ => Err(Failure::unavailable(refused)),
    }
}

/// Whether a booking whose time is over was paid after all, the event being late.
pub(crate) async fn paid_after_all(
    app: &App,
    context: &Context,
    booking: &Booking,
) -> Result<Option<Input>, Failure> {
    let Some(id) = booking.payment_id else { return Ok(None) };
    Ok(paid(get_payment(app, context, id).await?.state()))
}

/// The payment as it is now.
pub(crate) async fn get_payment(
    app: &App,
    context: &Context,
    id: PaymentId,
) -> Result<Payment, Failure> {
    let request = GetPaymentRequest { payment_id: id.to_string() };
    let answer = client(app, context).get_payment(request).await;
    Ok(answer.map_err(|status| wire::failure(&status))?.into_inner())
}

/// The payment service, called by this one.
pub(crate) fn client(app: &App, context: &Context) -> PaymentServiceClient {
    PaymentServiceClient::new(app.payment.with(&app.calling(context)))
}
