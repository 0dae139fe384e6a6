//! Opening bookings: the way through, free ones, repeats, and what a part that is down leads to.

use std::{sync::Arc, time::Duration};

use kernel::{Caller, Choice, Code};
use platform::{Metrics, Tasks};
use wire::Context;

use super::{
    stage::{stages, told},
    world::Fault,
};
use crate::{
    app::App,
    domain::{PaymentStatus, Status},
    ops::{self, OpenBooking},
    shapes,
};

#[tokio::test]
async fn a_booking_goes_from_wish_to_tickets() {
    for stage in stages().await {
        let app = stage.app().await;
        let opened = stage.open(&app, "k").await.unwrap();
        assert_eq!(opened.state.status, Status::PaymentPending);
        assert_eq!(opened.total().unwrap().minor, 5_000);
        let hold = stage.world.memory().holds[&opened.id.to_string()].clone();
        assert_eq!(opened.expires_at.micros(), hold.expires_at_us);
        assert_eq!(opened.cursor.due_at, Some(opened.expires_at));

        let buyer = stage.as_buyer();
        assert_eq!(shapes::booking_for(&buyer.caller, &opened).client_secret, "secret-1");
        let admin = stage.as_admin();
        assert_eq!(shapes::booking_for(&admin.caller, &opened).client_secret, "");

        stage.pay(&app, opened.id).await;
        let confirmed = stage.load(opened.id).await;
        assert_eq!(confirmed.state.status, Status::Confirmed);
        assert_eq!(confirmed.state.payment, PaymentStatus::Captured);
        assert!(confirmed.confirmed_at.is_some() && confirmed.cursor.due_at.is_none());
        assert_eq!(shapes::booking_for(&buyer.caller, &confirmed).client_secret, "");
        stage.assert_settled(opened.id).await;

        let calls = stage.world.memory().calls.clone();
        let way = ["Quote", "HoldSeats", "CreateIntent", "IssueTickets", "CapturePayment"];
        assert_eq!(calls, way);
        let kinds = ["opened", "seats_reserved", "payment_requested", "payment_processing"];
        let kinds = kinds.into_iter().chain(["confirmed"]).map(|kind| format!("booking.{kind}"));
        assert_eq!(stage.kinds().await, kinds.collect::<Vec<_>>());

        let history = ops::get_history(&app, &buyer, opened.id).await.unwrap();
        let to: Vec<_> = history.iter().map(|step| step.to).collect();
        assert_eq!(
            to,
            [
                Status::Reserving,
                Status::SeatsReserved,
                Status::PaymentPending,
                Status::PaymentProcessing,
                Status::PaymentProcessing,
                Status::Confirmed,
            ]
        );
    }
}

#[tokio::test]
async fn a_free_booking_needs_no_payment() {
    for stage in stages().await {
        let app = stage.app().await;
        stage.world.memory().sale.price = 0;
        let booking = stage.open(&app, "k").await.unwrap();
        assert_eq!(booking.state.status, Status::Confirmed);
        assert_eq!(booking.state.payment, PaymentStatus::NotRequired);
        assert_eq!(stage.world.count("CreateIntent"), 0);
        stage.assert_settled(booking.id).await;
        let cancelled = stage.cancel(&app, booking.id).await.unwrap();
        assert_eq!(cancelled.state.status, Status::Cancelled);
        assert_eq!(stage.world.count("RefundPayment"), 0);
        stage.assert_settled(booking.id).await;
    }
}

#[tokio::test]
async fn a_key_has_one_effect_and_another_body_is_refused() {
    for stage in stages().await {
        let app = stage.app().await;
        let first = stage.open(&app, "k").await.unwrap();
        let again = stage.open(&app, "k").await.unwrap();
        assert_eq!(again, first);
        assert_eq!(stage.world.count("HoldSeats"), 1);

        let other = OpenBooking {
            choice: Choice::Admissions { section: "floor".to_owned(), quantity: 1 },
            ..stage.wish("k")
        };
        let refused = ops::open_booking(&app, &stage.as_buyer(), other).await;
        assert_eq!(told(refused), (Code::Invalid, "IDEMPOTENCY_KEY_REUSED".to_owned()));

        let stranger = stage.as_stranger();
        let theirs = ops::open_booking(&app, &stranger, stage.wish("k")).await.unwrap();
        assert_ne!(theirs.id, first.id, "keys belong to their account");
        let second = stage.open(&app, "k2").await.unwrap();
        assert_ne!(second.id, first.id, "without the same key there are two");

        stage.pay(&app, first.id).await;
        let now = stage.open(&app, "k").await.unwrap();
        assert_eq!(now.state.status, Status::Confirmed, "as it stands now");
    }
}

#[tokio::test]
async fn requests_with_one_key_that_meet_open_one_booking() {
    for stage in stages().await {
        let (one, two) = (stage.app().await, stage.app().await);
        let open = || stage.open(&one, "k");
        let answers = tokio::join!(open(), open(), open());
        let id = answers.0.as_ref().unwrap().id;
        for answer in [answers.0, answers.1, answers.2] {
            let booking = answer.unwrap();
            assert_eq!((booking.id, booking.state.status), (id, Status::PaymentPending));
        }
        // The same of two processes.
        let answers = tokio::join!(stage.open(&one, "k2"), stage.open(&two, "k2"));
        let answers = [answers.0.unwrap(), answers.1.unwrap()];
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0].state.status, Status::PaymentPending);
        assert_eq!(stage.world.memory().holds.len(), 2);
        assert_eq!(stage.world.memory().payments.len(), 2);
    }
}

#[tokio::test]
async fn a_repeat_at_another_process_waits_for_the_first_or_is_told_to_come_again() {
    for stage in stages().await {
        let one = stage.app().await;
        let (mut config, deps) = stage.parts().await;
        config.wait_seconds = 1;
        let two = Arc::new(App::new(config, deps, &Metrics::new(), &Tasks::new()));
        stage.world.fail("HoldSeats", Fault::Wait);
        let repeat = async {
            stage.world.died.notified().await;
            let (code, _) = told(stage.open(&two, "k").await);
            assert_eq!(code, Code::Unavailable, "the first takes longer than one waits");
            let go = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stage.world.go.notify_one();
            };
            tokio::join!(stage.open(&two, "k"), go).0
        };
        let (first, repeat) = tokio::join!(stage.open(&one, "k"), repeat);
        assert_eq!(first.unwrap(), repeat.unwrap());
        assert_eq!(stage.world.count("HoldSeats"), 1);
    }
}

#[tokio::test]
async fn a_part_that_is_down_leaves_the_booking_to_be_gone_on_with() {
    for verb in ["Quote", "HoldSeats", "CreateIntent"] {
        for stage in stages().await {
            let app = stage.app().await;
            stage.world.fail(verb, Fault::Down);
            let (code, _) = told(stage.open(&app, "k").await);
            assert_eq!(code, Code::Unavailable, "{verb}");
            stage.world.heal();
            // Nobody asks again: a resumer goes on once the pause is over.
            stage.resume(&stage.app().await, Duration::from_secs(1)).await;
            let app = stage.app().await;
            let booking = stage.open(&app, "k").await.unwrap();
            assert_eq!(booking.state.status, Status::PaymentPending, "{verb}");
            assert_eq!(stage.world.memory().payments.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_repeat_goes_on_at_once_with_what_was_put_off() {
    for stage in stages().await {
        let app = stage.app().await;
        stage.world.fail("HoldSeats", Fault::LoseAnswers);
        assert_eq!(told(stage.open(&app, "k").await).0, Code::Unavailable);
        stage.world.heal();
        let booking = stage.open(&stage.app().await, "k").await.unwrap();
        assert_eq!(booking.state.status, Status::PaymentPending);
        assert_eq!(stage.world.memory().holds.len(), 1, "the lost hold was found again");
    }
}

#[tokio::test]
async fn services_book_for_an_account_and_nobody_else_does() {
    for stage in stages().await {
        let app = stage.app().await;
        let worker = Context::new(Caller::Service("booking-worker".to_owned()), "test");
        let named = OpenBooking { account_id: Some(stage.buyer), ..stage.wish("k") };
        let booking = ops::open_booking(&app, &worker, named.clone()).await.unwrap();
        assert_eq!(booking.account_id, stage.buyer);
        assert_eq!(stage.open(&app, "k").await.unwrap().id, booking.id, "the buyer's own key");

        let nobody = ops::open_booking(&app, &worker, stage.wish("k3")).await;
        assert_eq!(told(nobody).0, Code::Invalid);
        let stranger = ops::open_booking(&app, &stage.as_stranger(), named.clone()).await;
        assert_eq!(told(stranger).0, Code::Forbidden);
        let anonymous = Context::new(Caller::Anonymous, "test");
        let anonymous = ops::open_booking(&app, &anonymous, named).await;
        assert_eq!(told(anonymous).0, Code::Unauthenticated);
        assert_eq!(stage.world.memory().holds.len(), 1);
    }
}
