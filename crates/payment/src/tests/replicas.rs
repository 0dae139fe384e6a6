//! Two replicas of the service, one of which is slow, was stopped, or knows less than the other.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::get,
};
use platform::{Metrics, Tasks, bus::PAYMENT_EVENTS, http::Nearby, outbox::Outbox};
use serde_json::json;
use stripe_sandbox::Controls;

use super::world::{World, booking_service, on_both};
use crate::{
    Config,
    app::App,
    domain::{Refund, RefundState},
    ops, store,
    stripe::NewRefund,
};

/// Another replica, with `provider` as its provider.
async fn beside(w: &World, provider: &str) -> Arc<App> {
    let config = Config { stripe_api_base: provider.to_owned(), ..w.config.clone() };
    let outside =
        (w.clock.clone() as _, w.ids.clone() as _, w.app.access.clone(), Nearby::default());
    let own = (&Metrics::new(), &Tasks::new(), &Outbox::new(PAYMENT_EVENTS));
    Arc::new(crate::app(config, w.database.open_again().await, outside, own).unwrap())
}

async fn refund_of(w: &World, refund: &Refund) -> Refund {
    let id = refund.id;
    let found = w.database.db.read(move |tx| Box::pin(async move { store::refund(tx, id).await }));
    let found: Result<_, db::Error> = found.await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn a_refund_by_one_that_was_stopped_and_by_who_took_over_is_made_once() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        w.controls(Controls { fail_before: 3, ..Controls::default() }).await;
        let refund = w.refund(payment.id, 1_000, "k").await.unwrap();
        // Both have tried a different number of times.
        w.execute("update refunds set attempts = 5").await;
        let known = refund_of(w, &refund).await;
        w.reconcile_after(60).await;
        assert_eq!(refund_of(w, &refund).await.state, RefundState::Succeeded);
        let other = beside(w, &w.config.stripe_api_base).await;
        // The one that was stopped had looked at what there is, and goes on.
        let intent = payment.provider_reference.as_deref().unwrap();
        let new = NewRefund { intent, refund: known.id, amount_minor: 1_000 };
        let made = async || {
            let made = w.provider("/v1/refunds", &[]).await;
            made["data"].as_array().unwrap().len()
        };
        let key = ops::provider_key(known.id, 1);
        other.stripe.create_refund(&new, key).await.result.unwrap();
        ops::finish_refund(&other, &payment, known.clone()).await.unwrap();
        assert_eq!(made().await, 1);
        assert_eq!(w.payment(payment.id).await.refunded_minor, 1_000);
        // The guard's twin: a key of its own.
        let own = format!("refund-{}-{}", known.id, known.attempts);
        other.stripe.create_refund(&new, own).await.result.unwrap();
        assert_eq!(made().await, 2);
    })
    .await;
}

/// A provider that remembers a fault under the first key of each refund.
async fn spent_provider(keys: Arc<Mutex<Vec<String>>>) -> String {
    let create = move |headers: HeaderMap| {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let second = key.ends_with("-2");
        keys.lock().unwrap().push(key);
        async move {
            if second {
                let made = json!({ "id": "re_2", "status": "succeeded", "amount": 1_000,
                    "payment_intent": "pi", "metadata": {} });
                return Json(made).into_response();
            }
            let fault = [("idempotent-replayed", "true")];
            (StatusCode::INTERNAL_SERVER_ERROR, fault, Json(json!({}))).into_response()
        }
    };
    let list = async || Json(json!({ "data": [], "has_more": false }));
    serve(Router::new().route("/v1/refunds", get(list).post(create))).await
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    Tasks::new().spawn("provider", async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test]
async fn another_key_is_used_only_once_the_provider_says_that_the_first_is_spent() {
    on_both(async |w| {
        let payment = w.captured("pm_card_visa").await;
        w.controls(Controls { fail_before: 3, ..Controls::default() }).await;
        let refund = w.refund(payment.id, 1_000, "k").await.unwrap();
        let keys = Arc::default();
        let other = beside(w, &spent_provider(Arc::clone(&keys)).await).await;
        let done = ops::finish_refund(&other, &payment, refund.clone()).await.unwrap();
        assert_eq!(done.state, RefundState::Succeeded);
        let expected = [format!("refund-{}", refund.id), format!("refund-{}-2", refund.id)];
        assert_eq!(*keys.lock().unwrap(), expected, "each is asked for once");
    })
    .await;
}

#[tokio::test]
async fn what_was_taken_and_not_begun_within_half_its_lease_is_left_to_others() {
    on_both(async |w| {
        for _ in 0..12 {
            w.open().await;
        }
        w.clock.advance(std::time::Duration::from_secs(60));
        let (clock, asked) = (w.clock.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        let slow = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            clock.advance(std::time::Duration::from_secs(31));
            async { (StatusCode::NOT_FOUND, Json(json!({}))) }
        };
        let provider = serve(Router::new().route("/v1/payment_intents/{id}", get(slow))).await;
        ops::reconcile_payments(beside(w, &provider).await).await.unwrap();
        let asked = asked.load(Ordering::SeqCst);
        assert!((1..=4).contains(&asked), "{asked} were begun at once, and no more");
        // Theirs is the lease's end.
        w.clock.advance(std::time::Duration::from_secs(60));
        assert!(ops::create_intent(&w.app, &booking_service(), w.command()).await.is_ok());
        ops::reconcile_payments(w.app.clone()).await.unwrap();
        let looked = "select operation from transaction_log where operation = 'retrieve_intent'
            and outcome = 'ok'";
        assert_eq!(w.texts(looked, Vec::new()).await.len(), 12);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_waited_for_the_answer_to_be_taken_in_is_not_lost() {
    on_both(async |w| {
        if w.database.db.engine() == db::Engine::Sqlite {
            return; // One transaction writes at a time.
        }
        let payment = w.open().await;
        w.webhooks().await;
        w.pay(&payment, "pm_card_visa").await;
        // As if the answer with the intent's id were being taken in just now.
        w.execute("update payments set provider_reference = null, due_at = now()").await;
        let intent = payment.provider_reference.clone().unwrap();
        let (locked, release) = (tokio::sync::Notify::new(), Arc::new(tokio::sync::Notify::new()));
        let (locked, id) = (Arc::new(locked), payment.id);
        let (told, go) = (locked.clone(), release.clone());
        let taking = w.database.db.write(move |tx| {
            let (told, go, intent) = (told.clone(), go.clone(), intent.clone());
            Box::pin(async move {
                let sql = "update payments set provider_reference = $2 where payment_id = $1";
                tx.execute(sql, &[id.into(), intent.into()]).await?;
                told.notify_one();
                go.notified().await;
                Ok::<_, db::Error>(())
            })
        });
        let event = async {
            locked.notified().await;
            let waiting = "select query from pg_stat_activity where wait_event_type = 'Lock'
                and datname = current_database()";
            let open = async {
                while w.texts(waiting, Vec::new()).await.is_empty() {
                    tokio::task::yield_now().await;
                }
                release.notify_one();
            };
            tokio::join!(w.webhooks(), open)
        };
        let (taken, _) = tokio::join!(taking, event);
        taken.unwrap();
        assert_eq!(w.payment(payment.id).await.state, crate::domain::State::Authorized);
    })
    .await;
}
