//! A payment-service that makes intents of nothing, so that a booking costs what its hold does.

use kernel::{Clock, PaymentId, SystemClock};
use testkit::SeededIds;
use tonic::{Request, Response, Status};
use wire::pb::payment::v1::{self as pb, payment_service_server::PaymentService};

/// Answers at once, and keeps nothing.
pub(super) struct FreePayment(SeededIds);

impl FreePayment {
    pub(super) fn new() -> Self {
        let began = SystemClock.now().micros();
        Self(SeededIds::new(began.unsigned_abs()))
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn none<T>() -> Answer<T> {
    Err(Status::unimplemented("nothing is ever paid here"))
}

#[tonic::async_trait]
impl PaymentService for FreePayment {
    async fn create_intent(
        &self,
        request: Request<pb::CreateIntentRequest>,
    ) -> Answer<pb::Payment> {
        let wanted = request.into_inner();
        let id = PaymentId::new(&self.0, SystemClock.now()).to_string();
        Ok(Response::new(pb::Payment {
            booking_id: wanted.booking_id,
            account_id: wanted.account_id,
            amount: wanted.amount,
            state: pb::PaymentState::RequiresPayment.into(),
            provider: "none".to_owned(),
            provider_reference: format!("pi_{id}"),
            client_secret: format!("pi_{id}_secret_none"),
            payment_id: id,
            ..pb::Payment::default()
        }))
    }

    async fn get_payment(&self, _: Request<pb::GetPaymentRequest>) -> Answer<pb::Payment> {
        none()
    }

    async fn list_payments(
        &self,
        _: Request<pb::ListPaymentsRequest>,
    ) -> Answer<pb::ListPaymentsResponse> {
        none()
    }

    async fn capture_payment(&self, _: Request<pb::CapturePaymentRequest>) -> Answer<pb::Payment> {
        none()
    }

    async fn cancel_payment(&self, _: Request<pb::CancelPaymentRequest>) -> Answer<pb::Payment> {
        none()
    }

    async fn refund_payment(&self, _: Request<pb::RefundPaymentRequest>) -> Answer<pb::Refund> {
        none()
    }

    async fn process_webhook(
        &self,
        _: Request<pb::ProcessWebhookRequest>,
    ) -> Answer<pb::ProcessWebhookResponse> {
        none()
    }
}
