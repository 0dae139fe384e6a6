//! Requests that meet in one transaction: each is decided as if it had come alone, in their order.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use kernel::{Code, Failure, PaymentId};
use serde_json::json;

use super::world::{World, on_both};
use crate::{
    domain::{Payment, State},
    ops::{self, Decided, Heard, News, Opening, Request, Told},
    store::Entry,
    stripe::{EventHead, Exchange},
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Decides all of it in one transaction.
async fn decide(w: &World, requests: Vec<Request>) -> Result<Vec<Outcome>, Failure> {
    let shared = Arc::new((w.app.desk.clone(), requests));
    let decided = w.database.db.write(move |tx| {
        let shared = shared.clone();
        Box::pin(async move { ops::decide(tx, &shared.0, &shared.1).await })
    });
    Ok(decided.await?.into_iter().map(outcome).collect())
}

type Outcome = Result<(&'static str, Option<State>), Code>;

fn outcome(decided: Result<Decided, Failure>) -> Outcome {
    let decided = decided.map_err(|failure| failure.code)?;
    Ok((decided.outcome, decided.payment.map(|payment| payment.state)))
}

fn open(w: &World, booking: &Payment) -> Request {
    let id = PaymentId::from_uuid(w.ids_uuid());
    let payment = Payment {
        id,
        provider_reference: None,
        client_secret: None,
        state: State::RequiresPayment,
        version: 0,
        ..booking.clone()
    };
    Request::Open(Box::new(Opening { payment, entry: entry(w, "create_intent", id) }))
}

fn entry(w: &World, operation: &'static str, payment: PaymentId) -> Entry {
    let exchange = Exchange {
        operation,
        request: "{}".into(),
        response: "{}".into(),
        outcome: "ok",
        duration: Duration::ZERO,
    };
    let (at, correlation_id) = (w.app.now(), "c".to_owned());
    Entry { id: w.ids_uuid(), payment, exchange, correlation_id, at }
}

/// A payment that is no row yet, of a booking of its own.
fn fresh(w: &World, like: &Payment) -> Payment {
    let booking = kernel::BookingId::from_uuid(w.ids_uuid());
    Payment { booking, ..like.clone() }
}

fn heard(w: &World, payment: PaymentId, reference: &str, status: &str) -> Request {
    let intent = json!({ "id": reference, "status": status, "amount_received": 5_000 });
    let news = match status {
        "" => News::Nothing,
        _ => News::Intent(serde_json::from_value(intent).unwrap()),
    };
    let (now, entry, cause) =
        (w.app.now(), Some(entry(w, "retrieve_intent", payment)), "test".to_owned());
    Request::Heard(Box::new(Heard { payment, news, entry, cause, now }))
}

fn told(w: &World, event: &str, reference: &str, status: &str, created: i64) -> Request {
    let intent = json!({ "id": reference, "status": status });
    let event = EventHead { id: event.into(), kind: "payment_intent.x".into(), created };
    let intent = serde_json::from_value(intent).unwrap();
    Request::Told(Box::new(Told { event, intent, body: "{}".into(), now: w.app.now() }))
}

fn reference(payment: &Payment) -> &str {
    payment.provider_reference.as_deref().unwrap()
}

#[tokio::test]
async fn requests_of_all_kinds_are_decided_together_each_in_its_turn() {
    on_both(async |w| {
        let (one, two) = (w.open().await, w.open().await);
        let (new, at) = (fresh(w, &one), w.app.now().seconds());
        let nobody = PaymentId::from_uuid(w.ids_uuid());
        let (pi_1, pi_2) = (reference(&one), reference(&two));
        let decided = decide(
            w,
            vec![
                open(w, &new),
                open(w, &new),
                open(w, &one),
                Request::Read(one.id),
                Request::Read(nobody),
                told(w, "evt_2", pi_1, "requires_capture", at + 2),
                told(w, "evt_2", pi_1, "requires_capture", at + 2),
                told(w, "evt_1", pi_1, "processing", at + 1),
                Request::Read(one.id),
                heard(w, one.id, pi_1, "succeeded"),
                heard(w, nobody, "pi_none", "succeeded"),
                told(w, "evt_3", "pi_stranger", "succeeded", at),
                heard(w, two.id, "", ""),
                heard(w, two.id, pi_2, "requires_payment_method"),
                told(w, "evt_4", pi_1, "canceled", at + 9),
                told(w, "evt_5", pi_2, "canceled", at),
            ],
        );
        let open = Some(State::RequiresPayment);
        let expected = [
            Ok(("known", open)),
            Ok(("known", open)),
            Ok(("known", open)),
            Ok(("known", open)),
            Err(Code::NotFound),
            Ok(("applied", Some(State::Authorized))),
            Ok(("duplicate", None)),
            Ok(("outdated", None)),
            Ok(("known", Some(State::Authorized))),
            Ok(("applied", Some(State::Captured))),
            Err(Code::NotFound),
            Ok(("unknown", None)),
            Ok(("known", None)),
            Ok(("known", open)),
            Ok(("known", Some(State::Captured))),
            Ok(("applied", Some(State::Cancelled))),
        ];
        assert_eq!(decided.await.unwrap(), expected);

        assert_eq!(w.history(one.id).await, ["requires_payment", "authorized", "captured"]);
        assert_eq!(w.history(two.id).await, ["requires_payment", "cancelled"]);
        let done = w.payment(one.id).await;
        assert_eq!((done.state, done.captured_minor, done.version), (State::Captured, 5_000, 2));
        let expected = ["payment.authorized", "payment.captured", "payment.cancelled"];
        assert_eq!(w.events().await, expected);
        let made = "select state from payments where booking_id = $1";
        assert_eq!(w.texts(made, vec![new.booking.into()]).await, ["requires_payment"]);
        let first = "select to_state from payment_transitions t
            join payments p on p.payment_id = t.payment_id where p.booking_id = $1";
        assert_eq!(w.texts(first, vec![new.booking.into()]).await, ["requires_payment"]);
        let logged = "select operation from transaction_log where operation = 'retrieve_intent'";
        assert_eq!(w.texts(logged, Vec::new()).await.len(), 3, "none of a payment that isn't");
        let events = "select event_id from provider_events order by event_id";
        let expected = ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5"];
        assert_eq!(w.texts(events, Vec::new()).await, expected);
    })
    .await;
}

#[tokio::test]
async fn an_event_beside_the_answer_that_names_its_intent_finds_its_payment() {
    on_both(async |w| {
        let like = w.open().await;
        let new = fresh(w, &like);
        decide(w, vec![open(w, &new)]).await.unwrap();
        let (id, at) = (w.half_made().await, w.app.now().seconds());
        let decided = decide(
            w,
            vec![
                told(w, "evt_1", "pi_new", "requires_capture", at),
                heard(w, id, "pi_new", "requires_payment_method"),
            ],
        );
        let authorized = Some(State::Authorized);
        assert_eq!(
            decided.await.unwrap(),
            [Ok(("applied", authorized)), Ok(("known", authorized))]
        );
        assert_eq!(reference(&w.payment(id).await), "pi_new");
    })
    .await;
}

#[tokio::test]
async fn one_that_can_not_be_written_fails_alone() {
    on_both(async |w| {
        let like = w.open().await;
        let lost = fresh(w, &like);
        decide(w, vec![open(w, &lost)]).await.unwrap();
        let id = w.half_made().await;
        // An intent has one payment: the database refuses another.
        let poison = || heard(w, id, reference(&like), "requires_capture");
        let good = || open(w, &fresh(w, &like));
        let mut requests: Vec<Request> = (0..9).map(|_| good()).collect();
        requests.insert(5, poison());
        let decided = join_all(requests.into_iter().map(|request| w.app.write(request))).await;
        for (index, decided) in decided.into_iter().enumerate() {
            assert_eq!(decided.is_err(), index == 5, "{index}");
        }
        let made = "select state from payments where provider_reference is null";
        assert_eq!(w.texts(made, Vec::new()).await.len(), 10);
        assert_eq!(w.history(id).await, ["requires_payment"], "nothing of it is left");
        let logged = "select operation from transaction_log where operation = 'retrieve_intent'";
        assert!(w.texts(logged, Vec::new()).await.is_empty());
        // The guard's twin: without whoever takes batches apart it takes all with it.
        assert!(decide(w, vec![good(), poison(), good()]).await.is_err());
        assert_eq!(w.texts(made, Vec::new()).await.len(), 10);
    })
    .await;
}

#[tokio::test]
async fn what_was_asked_is_done_also_for_callers_that_left() {
    on_both(async |w| {
        let like = w.open().await;
        for _ in 0..8 {
            assert!(w.app.write(open(w, &fresh(w, &like))).now_or_never().is_none());
        }
        let made = "select state from payments where provider_reference is null";
        let all = async {
            while w.texts(made, Vec::new()).await.len() < 8 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn transactions_on_the_same_payments_take_turns_whatever_their_order() {
    on_both(async |w| {
        let mut payments = Vec::new();
        for _ in 0..16 {
            payments.push(w.open().await);
        }
        let at = w.app.now().seconds();
        let event = |payment: &Payment| {
            told(w, &format!("evt_{}", payment.id), reference(payment), "requires_capture", at)
        };
        let forth = decide(w, payments.iter().map(event).collect());
        let back = decide(w, payments.iter().rev().map(event).collect());
        let again = decide(w, payments.iter().map(event).collect());
        let (forth, back, again) = tokio::join!(forth, back, again);
        let all = [forth.unwrap(), back.unwrap(), again.unwrap()].concat();
        let applied = all.iter().filter(|outcome| matches!(outcome, Ok(("applied", _)))).count();
        assert_eq!((all.len(), applied), (48, 16), "each counts once");
        assert_eq!(w.database.db.stats().retries, 0, "nobody waits for each other");
        for payment in payments {
            assert_eq!(w.history(payment.id).await, ["requires_payment", "authorized"]);
        }
        assert_eq!(w.events().await.len(), 16);
    })
    .await;
}
