//! Wire in, verb, wire out; no decisions. Verbs that write run to their end whether or not their
//! caller waits.

use std::sync::Arc;

use kernel::{Caller, Failure, Money};
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::payment::v1::{
        self as pb, CancelPaymentRequest, CapturePaymentRequest, CreateIntentRequest,
        GetPaymentRequest, ListPaymentsRequest, ListPaymentsResponse, PaymentState,
        ProcessWebhookRequest, ProcessWebhookResponse, RefundPaymentRequest,
        payment_service_server::PaymentService,
    },
};

use crate::{
    app::{App, payable_with},
    domain::{Payment, Refund, RefundState, State},
    ops::{self, CreateIntent, RefundPayment},
    stripe,
};

/// The service's gRPC face.
pub(crate) struct Grpc(pub(crate) Arc<App>);

#[tonic::async_trait]
impl PaymentService for Grpc {
    async fn create_intent(
        &self,
        request: Request<CreateIntentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let context = Context::of(&request);
        let command = create_intent(&request.into_inner()).map_err(wire::status)?;
        let (app, caller) = (self.0.clone(), context.caller.clone());
        let work = async move { ops::create_intent(&app, &context, command).await };
        let done: Result<Payment, Failure> = self.0.tasks.finish(work).await;
        payment(done, &caller)
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let context = Context::of(&request);
        let id = wire::id("payment_id", &request.get_ref().payment_id).map_err(wire::status)?;
        payment(ops::get_payment(&self.0, &context, id).await, &context.caller)
    }

    async fn list_payments(
        &self,
        request: Request<ListPaymentsRequest>,
    ) -> Result<Response<ListPaymentsResponse>, Status> {
        let context = Context::of(&request);
        let page = wire::page(request.get_ref().page.as_ref()).map_err(wire::status)?;
        let listed = ops::list_payments(&self.0, &context, &page).await;
        let (payments, next_cursor) = listed.map_err(wire::status)?;
        let payments = payments.iter().map(|payment| to_payment(payment, &context.caller));
        Ok(Response::new(ListPaymentsResponse { payments: payments.collect(), next_cursor }))
    }

    async fn capture_payment(
        &self,
        request: Request<CapturePaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let context = Context::of(&request);
        let id = wire::id("payment_id", &request.get_ref().payment_id).map_err(wire::status)?;
        let (app, caller) = (self.0.clone(), context.caller.clone());
        let work = async move { ops::capture_payment(&app, &context, id).await };
        let done: Result<Payment, Failure> = self.0.tasks.finish(work).await;
        payment(done, &caller)
    }

    async fn cancel_payment(
        &self,
        request: Request<CancelPaymentRequest>,
    ) -> Result<Response<pb::Payment>, Status> {
        let context = Context::of(&request);
        let request = request.into_inner();
        let id = wire::id("payment_id", &request.payment_id).map_err(wire::status)?;
        let (app, caller) = (self.0.clone(), context.caller.clone());
        let work = async move { ops::cancel_payment(&app, &context, id, &request.reason).await };
        let done: Result<Payment, Failure> = self.0.tasks.finish(work).await;
        payment(done, &caller)
    }

    async fn refund_payment(
        &self,
        request: Request<RefundPaymentRequest>,
    ) -> Result<Response<pb::Refund>, Status> {
        let context = Context::of(&request);
        let request = request.into_inner();
        let command = RefundPayment {
            payment: wire::id("payment_id", &request.payment_id).map_err(wire::status)?,
            amount_minor: request.amount_minor,
            reason: request.reason,
            idempotency_key: request.idempotency_key,
        };
        let app = self.0.clone();
        let work = async move { ops::refund_payment(&app, &context, command).await };
        let (refund, currency) = self.0.tasks.finish(work).await.map_err(wire::status)?;
        let amount = Money::new(refund.amount_minor, currency);
        Ok(Response::new(to_refund(&refund, amount)))
    }

    async fn process_webhook(
        &self,
        request: Request<ProcessWebhookRequest>,
    ) -> Result<Response<ProcessWebhookResponse>, Status> {
        let request = request.into_inner();
        if request.provider != stripe::PROVIDER {
            return Err(wire::status(Failure::invalid("provider", "must be stripe")));
        }
        let app = self.0.clone();
        let work =
            async move { ops::process_webhook(&app, &request.signature, &request.body).await };
        let processed = self.0.tasks.finish(work).await.map_err(wire::status)?;
        Ok(Response::new(ProcessWebhookResponse { processed }))
    }
}

fn create_intent(request: &CreateIntentRequest) -> Result<CreateIntent, Failure> {
    Ok(CreateIntent {
        booking: wire::id("booking_id", &request.booking_id)?,
        booking_reference: request.booking_reference.clone(),
        account: wire::id("account_id", &request.account_id)?,
        amount: wire::money("amount", request.amount.as_ref())?,
    })
}

fn payment(
    done: Result<Payment, Failure>,
    caller: &Caller,
) -> Result<Response<pb::Payment>, Status> {
    done.map(|payment| Response::new(to_payment(&payment, caller))).map_err(wire::status)
}

fn to_payment(payment: &Payment, caller: &Caller) -> pb::Payment {
    let decline = payment.decline.as_ref();
    pb::Payment {
        payment_id: payment.id.to_string(),
        booking_id: payment.booking.to_string(),
        account_id: payment.account.to_string(),
        amount: Some(wire::to_money(payment.amount)),
        captured_minor: payment.captured_minor,
        refunded_minor: payment.refunded_minor,
        state: to_state(payment.state).into(),
        provider: stripe::PROVIDER.to_owned(),
        provider_reference: payment.provider_reference.clone().unwrap_or_default(),
        client_secret: payable_with(payment, caller).cloned().unwrap_or_default(),
        decline_code: decline.map(|decline| decline.code.clone()).unwrap_or_default(),
        created_at_us: payment.created_at.micros(),
        updated_at_us: payment.updated_at.micros(),
    }
}

const fn to_state(state: State) -> PaymentState {
    match state {
        State::RequiresPayment => PaymentState::RequiresPayment,
        State::Processing => PaymentState::Processing,
        State::Authorized => PaymentState::Authorized,
        State::Captured => PaymentState::Captured,
        State::PartiallyRefunded => PaymentState::PartiallyRefunded,
        State::Refunded => PaymentState::Refunded,
        State::Failed => PaymentState::Failed,
        State::Cancelled => PaymentState::Cancelled,
    }
}

fn to_refund(refund: &Refund, amount: Money) -> pb::Refund {
    let state = match refund.state {
        RefundState::Pending => pb::RefundState::Pending,
        RefundState::Succeeded => pb::RefundState::Succeeded,
        RefundState::Failed => pb::RefundState::Failed,
    };
    pb::Refund {
        refund_id: refund.id.to_string(),
        payment_id: refund.payment.to_string(),
        amount: Some(wire::to_money(amount)),
        state: state.into(),
        reason: refund.reason.clone(),
        created_at_us: refund.created_at.micros(),
    }
}
