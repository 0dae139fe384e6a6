//! What comes from the provider by itself: believed only where signed, counted once, and never
//! turning time back.

use kernel::Secret;
use serde_json::{Value, json};
use stripe_sandbox::Controls;

use super::world::{WEBHOOK_SECRET, World, on_both};
use crate::{
    domain::{Payment, State},
    ops,
};

/// Sends a webhook as the provider would; the HTTP status.
async fn send(w: &World, secret: &str, event: &Value) -> u16 {
    let body = event.to_string();
    let secret = Secret::new(secret.to_owned());
    let signature = stripe_sandbox::signature(&secret, w.app.now().seconds(), body.as_bytes());
    let request = w.http.post(format!("{}/webhooks/stripe", w.url));
    let request = request.header("stripe-signature", signature).body(body);
    request.send().await.unwrap().status().as_u16()
}

fn event(payment: &Payment, id: &str, created: i64, status: &str, charge: Option<&str>) -> Value {
    let error = charge.map(|charge| json!({ "code": "card_declined", "charge": charge }));
    let intent = json!({
        "id": payment.provider_reference,
        "status": status,
        "amount_received": 0,
        "last_payment_error": error,
    });
    json!({
        "id": id,
        "type": "payment_intent.something_new",
        "created": created,
        "data": { "object": intent },
    })
}

#[tokio::test]
async fn webhooks_that_come_twice_and_backwards_lead_to_the_same_end() {
    on_both(async |w| {
        let payment = w.open().await;
        w.webhooks().await;
        let twisted = Controls { copies: 3, reverse: true, ..Controls::default() };
        w.controls(twisted).await;
        w.pay(&payment, "pm_card_chargeDeclined").await;
        w.pay(&payment, "pm_card_visa").await;
        w.webhooks().await;
        let authorized = w.payment(payment.id).await;
        assert_eq!(authorized.state, State::Authorized);
        assert_eq!(w.events().await, ["payment.authorized"], "the decline came too late to matter");
        assert_eq!(w.history(payment.id).await, ["requires_payment", "authorized"]);
    })
    .await;
}

#[tokio::test]
async fn an_event_counts_once() {
    on_both(async |w| {
        let payment = w.open().await;
        let at = w.app.now().seconds();
        let first = event(&payment, "evt_1", at, "requires_payment_method", Some("ch_1"));
        let second = event(&payment, "evt_2", at, "requires_payment_method", Some("ch_2"));
        for event in [&first, &second, &first, &second, &first] {
            assert_eq!(send(w, WEBHOOK_SECRET, event).await, 200);
        }
        assert_eq!(w.events().await, ["payment.declined", "payment.declined"]);
        // The guard's twin: an event that is forgotten counts again.
        w.execute("delete from provider_events").await;
        send(w, WEBHOOK_SECRET, &first).await;
        assert_eq!(w.events().await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn an_older_event_never_takes_the_payment_back() {
    on_both(async |w| {
        let payment = w.open().await;
        let at = w.app.now().seconds();
        let newer = event(&payment, "evt_2", at + 10, "requires_payment_method", Some("ch_1"));
        assert_eq!(send(w, WEBHOOK_SECRET, &newer).await, 200);
        let older = event(&payment, "evt_1", at + 5, "processing", None);
        assert_eq!(send(w, WEBHOOK_SECRET, &older).await, 200, "acknowledged all the same");
        assert_eq!(w.payment(payment.id).await.state, State::RequiresPayment);
        // The guard's twin: where nobody remembers the newer one, the older one wins.
        w.execute("update payments set provider_event_s = 0").await;
        let older = event(&payment, "evt_0", at + 5, "processing", None);
        send(w, WEBHOOK_SECRET, &older).await;
        assert_eq!(w.payment(payment.id).await.state, State::Processing);
    })
    .await;
}

#[tokio::test]
async fn only_the_provider_is_believed_and_the_rest_of_what_it_says_is_acknowledged() {
    on_both(async |w| {
        let payment = w.open().await;
        let at = w.app.now().seconds();
        let forged = event(&payment, "evt_1", at, "requires_capture", None);
        assert_eq!(send(w, "whsec_guess", &forged).await, 400);
        let url = format!("{}/webhooks/stripe", w.url);
        let unsigned = w.http.post(&url).body(forged.to_string()).send().await.unwrap();
        assert_eq!(unsigned.status(), 400);
        let huge = w.http.post(&url).body(vec![b' '; ops::MAX_WEBHOOK + 1]).send().await.unwrap();
        assert_eq!(huge.status(), 413);
        assert_eq!(w.payment(payment.id).await.state, State::RequiresPayment);

        let mut other = event(&payment, "evt_2", at, "requires_capture", None);
        other["type"] = json!("customer.created");
        assert_eq!(send(w, WEBHOOK_SECRET, &other).await, 200);
        let mut stranger = event(&payment, "evt_3", at, "requires_capture", None);
        stranger["data"]["object"]["id"] = json!("pi_stranger");
        assert_eq!(send(w, WEBHOOK_SECRET, &stranger).await, 200);
        assert!(send(w, WEBHOOK_SECRET, &json!([1])).await < 500);
        assert!(w.events().await.is_empty());
        // The same event with the right signature would have counted.
        assert_eq!(send(w, WEBHOOK_SECRET, &forged).await, 200);
        assert_eq!(w.payment(payment.id).await.state, State::Authorized);
    })
    .await;
}

#[tokio::test]
async fn an_event_may_be_faster_than_the_answer_that_names_its_intent() {
    on_both(async |w| {
        w.controls(Controls { fail_after: 3, ..Controls::default() }).await;
        let context = super::world::booking_service();
        let command = w.command();
        ops::create_intent(&w.app, &context, command.clone()).await.unwrap_err();
        w.webhooks().await;
        let reference = w.texts("select provider_reference from payments", Vec::new()).await;
        let payment = ops::create_intent(&w.app, &context, command).await.unwrap();
        assert_eq!(payment.provider_reference.as_ref(), reference.first());
        assert_eq!(w.pay(&payment, "pm_card_visa").await, 200);
    })
    .await;
}

#[tokio::test]
async fn a_refund_made_at_the_provider_is_taken_up() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        let intent = payment.provider_reference.as_deref().unwrap();
        let form = [("payment_intent", intent), ("amount", "1200")];
        w.provider("/v1/refunds", &form).await;
        w.controls(Controls { copies: 2, ..Controls::default() }).await;
        w.webhooks().await;
        let seen = w.payment(payment.id).await;
        assert_eq!((seen.state, seen.refunded_minor), (State::PartiallyRefunded, 1_200));
        assert_eq!(seen.pending_refund_minor, 0);
        let over = w.refund(payment.id, 3_801, "k1").await.unwrap_err();
        assert_eq!(over.reason, "REFUND_EXCEEDS_CAPTURED");
        assert_eq!(w.events().await.last().unwrap(), "payment.refunded");
    })
    .await;
}
