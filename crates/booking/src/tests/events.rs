//! Payment events: in order, out of order, twice, too late.

use std::time::Duration;

use kernel::{BookingId, Clock as _};
use wire::pb::payment::v1::PaymentState;

use super::{
    stage::{stage, stages},
    world::{Fault, Hold},
};
use crate::{
    consumers,
    domain::{PaymentStatus, Status},
    ops,
};

const HOLD: Duration = Duration::from_secs(900);

#[tokio::test]
async fn a_declined_card_leaves_room_for_another_within_the_hold() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        stage.tell(&app, "payment.declined", id).await;
        let declined = stage.load(id).await;
        assert_eq!(declined.state.status, Status::PaymentFailed);
        assert_eq!(declined.cursor.due_at, Some(declined.expires_at));
        stage.tell(&app, "payment.declined", id).await;
        stage.pay(&app, id).await;
        assert_eq!(stage.load(id).await.state.status, Status::Confirmed);
        stage.tell(&app, "payment.declined", id).await;
        assert_eq!(stage.load(id).await.state.status, Status::Confirmed, "a late decline");
        let told = stage.kinds().await.iter().filter(|k| *k == "booking.payment_failed").count();
        assert_eq!(told, 2);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn an_event_that_comes_twice_has_one_effect() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        let declined = stage.event("payment.declined", id);
        consumers::handle(&app, &declined).await.unwrap();
        let version = stage.load(id).await.version;
        consumers::handle(&app, &declined).await.unwrap();
        assert_eq!(stage.load(id).await.version, version);
        // Its twin: not known as the same event, it has its effect again.
        stage.tell(&app, "payment.declined", id).await;
        assert_eq!(stage.load(id).await.version, version + 1);
        // These are not remembered: where they come again, the booking is past them.
        stage.authorize(id);
        let paid = ["payment.authorized", "payment.captured"].map(|kind| stage.event(kind, id));
        consumers::handle(&app, &paid[0]).await.unwrap();
        let confirmed = stage.load(id).await;
        assert_eq!(confirmed.state.status, Status::Confirmed);
        for again in paid.iter().chain(&paid) {
            consumers::handle(&app, again).await.unwrap();
        }
        assert_eq!(stage.load(id).await.version, confirmed.version);
        assert_eq!(stage.world.count("IssueTickets"), 1);
    }
}

#[tokio::test]
async fn events_in_any_order_lead_to_the_same_end() {
    let orders: [[&str; 3]; 4] = [
        ["payment.authorized", "payment.captured", "payment.captured"],
        ["payment.captured", "payment.authorized", "payment.declined"],
        ["payment.declined", "payment.captured", "payment.authorized"],
        ["payment.authorized", "payment.declined", "payment.authorized"],
    ];
    for order in orders {
        let stage = stage().await;
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        stage.authorize(id);
        if order[0] == "payment.captured" || order[1] == "payment.captured" {
            // A method that takes the money at once.
            stage.capture(id);
        }
        for kind in order {
            stage.tell(&app, kind, id).await;
        }
        let booking = stage.load(id).await;
        assert_eq!(booking.state.status, Status::Confirmed, "{order:?}");
        assert_eq!(stage.world.count("IssueTickets"), 1, "{order:?}");
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn a_booking_expires_and_gives_everything_back() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        stage.resume(&app, HOLD - Duration::from_secs(1)).await;
        assert_eq!(stage.load(id).await.state.status, Status::PaymentPending, "not before");
        stage.resume(&app, Duration::from_secs(1)).await;
        let booking = stage.load(id).await;
        assert_eq!(booking.state.status, Status::Expired);
        assert_eq!(booking.state.payment, PaymentStatus::Voided);
        stage.assert_settled(id).await;
        assert_eq!(stage.kinds().await.last().unwrap(), "booking.expired");

        // The buyer paid at the last moment after all: the money goes back.
        stage.world.memory().payments.get_mut(&id.to_string()).unwrap().state =
            PaymentState::Authorized.into();
        // It is told twice, and goes back once.
        for _ in 0..2 {
            stage.tell(&app, "payment.authorized", id).await;
            assert_eq!(stage.load(id).await.state.status, Status::Expired);
            stage.assert_settled(id).await;
        }
    }
}

#[tokio::test]
async fn an_authorization_after_the_hold_gets_the_seats_if_they_are_free_and_is_voided_if_not() {
    for lost in [false, true] {
        for stage in stages().await {
            let app = stage.app().await;
            let id = stage.open(&app, "k").await.unwrap().id;
            stage.clock.advance(HOLD);
            if lost {
                let now = stage.clock.now();
                let places = vec![Default::default(); stage.world.memory().sale.capacity];
                let expires_at_us = now.plus(HOLD).micros();
                let other = Hold { places, expires_at_us, sold: true, ..Hold::default() };
                stage.world.memory().holds.insert("other".to_owned(), other);
            }
            stage.pay(&app, id).await;
            let booking = stage.load(id).await;
            if lost {
                assert_eq!(booking.state.status, Status::Failed);
                assert_eq!(booking.reason, "HOLD_LOST");
                assert_eq!(booking.state.payment, PaymentStatus::Voided);
            } else {
                assert_eq!(booking.state.status, Status::Confirmed);
            }
            stage.assert_settled(id).await;
        }
    }
}

#[tokio::test]
async fn a_booking_that_was_paid_is_not_expired_because_the_event_is_late() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        stage.authorize(id);
        stage.resume(&app, HOLD).await;
        assert_eq!(stage.load(id).await.state.status, Status::Confirmed);
        stage.tell(&app, "payment.authorized", id).await;
        assert_eq!(stage.world.count("CapturePayment"), 1);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn money_taken_for_a_booking_that_has_ended_is_refunded() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        stage.cancel(&app, id).await.unwrap();
        stage.capture(id);
        stage.tell(&app, "payment.captured", id).await;
        assert_eq!(stage.load(id).await.state.payment, PaymentStatus::Refunding);
        stage.assert_settled(id).await;
        stage.tell(&app, "payment.refunded", id).await;
        assert_eq!(stage.load(id).await.state.payment, PaymentStatus::Refunded);
        assert_eq!(stage.kinds().await.last().unwrap(), "booking.refunded");
        stage.tell(&app, "payment.captured", id).await;
        assert_eq!(stage.world.count("RefundPayment"), 1);
    }
}

#[tokio::test]
async fn a_payment_that_ends_at_the_provider_ends_the_booking() {
    for (kind, state, status) in [
        ("payment.failed", PaymentState::Failed, Status::Failed),
        ("payment.cancelled", PaymentState::Cancelled, Status::Cancelled),
    ] {
        for stage in stages().await {
            let app = stage.app().await;
            let id = stage.open(&app, "k").await.unwrap().id;
            let payment = state.into();
            stage.world.memory().payments.get_mut(&id.to_string()).unwrap().state = payment;
            stage.tell(&app, kind, id).await;
            assert_eq!(stage.load(id).await.state.status, status);
            assert_eq!(stage.world.count("CancelPayment"), 0);
            stage.assert_settled(id).await;
        }
    }
}

#[tokio::test]
async fn an_authorization_overtakes_the_note_that_the_payment_was_made() {
    for stage in stages().await {
        let app = stage.app().await;
        let number = 2; // CreateIntent
        let opening = stage.open(&app, "k");
        assert!(stage.dies_at((number, Fault::DieAfter), opening).await);
        assert_eq!(stage.world.memory().calls[number], "CreateIntent");
        let id = stage.world.memory().payments.keys().next().unwrap().clone();
        let id: BookingId = id.parse().unwrap();
        let app = stage.app().await;
        stage.authorize(id);
        let event = stage.event("payment.authorized", id);
        let early: kernel::Failure = consumers::handle(&app, &event).await.unwrap_err().into();
        assert_eq!(early.code, kernel::Code::Unavailable, "it is delivered again");
        // The lease of the process that ended is still good: nobody else drives it on.
        assert_eq!(stage.load(id).await.state.status, Status::Reserving);
        stage.resume(&app, Duration::from_secs(60)).await;
        assert_eq!(stage.load(id).await.state.status, Status::Confirmed);
        consumers::handle(&app, &event).await.unwrap();
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn events_that_are_none_of_ours_can_never_succeed_and_say_so() {
    let stage = stage().await;
    let app = stage.app().await;
    let id = BookingId::new(&*stage.ids, stage.clock.now());
    let unknown = stage.event("payment.authorized", id);
    let failure: kernel::Failure = consumers::handle(&app, &unknown).await.unwrap_err().into();
    assert_eq!(failure.code, kernel::Code::Invalid);
    let mut broken = stage.event("payment.authorized", id);
    broken.content = serde_json::json!({ "booking_id": 7 }).into();
    assert!(consumers::handle(&app, &broken).await.is_err());
    assert!(consumers::handle(&app, &stage.event("payment.sneezed", id)).await.is_ok());
    assert!(!ops::resume_sagas(&app).await.unwrap());
}
