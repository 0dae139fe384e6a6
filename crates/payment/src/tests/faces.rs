//! The whole service as the host runs it: gRPC over a wire, its tasks started, its events on the
//! bus.

use std::{sync::Arc, time::Duration};

use kernel::{Code, Secret};
use platform::{
    Metrics, Tasks,
    bus::{Bus, Delivery, Handler, PAYMENT_EVENTS, Urgency},
    http::Nearby,
};
use tokio::sync::mpsc;
use wire::{
    Context, Mesh, MeshSettings,
    pb::{
        kernel::v1::Money,
        payment::v1::{
            CapturePaymentRequest, CreateIntentRequest, GetPaymentRequest, PaymentChanged,
            PaymentState, ProcessWebhookRequest, RefundPaymentRequest, RefundState,
            client::PaymentServiceClient,
        },
    },
};

use super::world::{World, on_both};
use crate::{Deps, NAME, build};

const CALLS: &[(&str, &[&str])] = &[("booking", &[NAME]), ("gateway", &[NAME])];
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    mesh: Mesh,
    tasks: Tasks,
    events: mpsc::Receiver<Delivery>,
    _bus_database: testkit::TestDb,
}

async fn start(w: &World) -> Running {
    let bus_database = testkit::sqlite(&[]).await;
    let bus = Bus::memory(bus_database.db.clone(), Tasks::new()).await.unwrap();
    let (sender, events) = mpsc::channel(64);
    let handler: Handler = Arc::new(move |delivery| {
        let sender = sender.clone();
        Box::pin(async move {
            sender.send(delivery).await.unwrap();
            Ok(())
        })
    });
    let deps = Deps {
        db: w.database.db.clone(),
        bus: bus.clone(),
        clock: w.clock.clone(),
        ids: w.ids.clone(),
        access: w.app.access.clone(),
        nearby: Nearby::default(),
    };
    let unit = build(w.config.clone(), deps).unwrap();
    let settings = MeshSettings {
        key: Secret::new(vec![7; 32]),
        calls: CALLS,
        remotes: Default::default(),
        tls: None,
        deadline: PATIENCE,
        clock: w.clock.clone(),
    };
    let mesh = Mesh::new(settings).unwrap();
    drop(mesh.fill(NAME, unit.grpc.unwrap()).unwrap());
    for start in unit.tasks {
        start(unit.tracked.clone());
    }
    bus.consume(
        ("test", Urgency::Soon),
        &[PAYMENT_EVENTS],
        handler,
        &Metrics::new(),
        &unit.tracked,
    );
    Running { mesh, tasks: unit.tracked, events, _bus_database: bus_database }
}

impl Running {
    fn client(&self, from: &str, context: Option<&Context>) -> PaymentServiceClient {
        let wire = self.mesh.wire(from, NAME).unwrap();
        PaymentServiceClient::new(context.map_or(wire.clone(), |context| wire.with(context)))
    }

    async fn event(&mut self) -> (String, PaymentChanged) {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap();
        (next.kind.to_string(), next.read().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_is_paid_over_grpc_and_told_on_the_bus() {
    on_both(async |w| {
        let mut running = start(w).await;
        let mut booking = running.client("booking", None);
        let command = w.command();
        let request = CreateIntentRequest {
            booking_id: command.booking.to_string(),
            booking_reference: command.booking_reference,
            account_id: command.account.to_string(),
            amount: Some(Money { minor: 5_000, currency: "EUR".into() }),
        };
        let made = booking.create_intent(request.clone()).await.unwrap().into_inner();
        assert_eq!(made.state(), PaymentState::RequiresPayment);
        assert!(made.client_secret.starts_with(&made.provider_reference));

        let payment = w.payment(made.payment_id.parse().unwrap()).await;
        w.pay(&payment, "pm_card_visa").await;
        w.webhooks().await;
        let (kind, told) = running.event().await;
        assert_eq!((kind.as_str(), told.booking_id), ("payment.authorized", request.booking_id));

        let payment_id = made.payment_id.clone();
        let capture = CapturePaymentRequest { payment_id: payment_id.clone() };
        let captured = booking.capture_payment(capture.clone()).await.unwrap().into_inner();
        assert_eq!((captured.state(), captured.captured_minor), (PaymentState::Captured, 5_000));
        assert!(captured.client_secret.is_empty(), "nothing is left to pay");
        assert_eq!(running.event().await.0, "payment.captured");
        let refund = RefundPaymentRequest {
            payment_id: payment_id.clone(),
            amount_minor: 5_000,
            reason: "event cancelled".into(),
            idempotency_key: "k1".into(),
        };
        let refund = booking.refund_payment(refund).await.unwrap().into_inner();
        assert_eq!(refund.state(), RefundState::Succeeded);
        assert_eq!(running.event().await.0, "payment.refunded");

        let context = super::account(payment.account, kernel::Role::Individual);
        let mut buyer = running.client("gateway", Some(&context));
        let seen = buyer.get_payment(GetPaymentRequest { payment_id }).await.unwrap().into_inner();
        assert_eq!(seen.state(), PaymentState::Refunded);
        let refused = buyer.capture_payment(capture).await.unwrap_err();
        assert_eq!(wire::failure(&refused).code, Code::Forbidden);
        let wrong = booking.get_payment(GetPaymentRequest { payment_id: "x".into() }).await;
        assert_eq!(wire::failure(&wrong.unwrap_err()).code, Code::Invalid);
        let forged = ProcessWebhookRequest {
            provider: "stripe".into(),
            body: b"{}".to_vec(),
            signature: "t=1,v1=00".into(),
        };
        let refused = wire::failure(&buyer.process_webhook(forged).await.unwrap_err());
        assert_eq!(refused.reason, "INVALID_SIGNATURE");
        assert_eq!(running.tasks.stop(PATIENCE).await, 0);
    })
    .await;
}
