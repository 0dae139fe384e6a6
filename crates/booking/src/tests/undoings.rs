//! Giving up: cancellations, undoings that fail, and the operator who has them tried again.

use std::time::Duration;

use kernel::{BookingId, Clock as _, Code, Page};

use super::{
    stage::{Stage, stages, told},
    world::Fault,
};
use crate::{
    domain::{PaymentStatus, Status, Step},
    ops::{self, CancelBooking, RetryDeadLetter},
};

async fn confirmed(stage: &Stage) -> BookingId {
    let app = stage.app().await;
    let id = stage.open(&app, "k").await.unwrap().id;
    stage.pay(&app, id).await;
    id
}

#[tokio::test]
async fn a_confirmed_booking_is_cancelled_with_its_money_back_once() {
    for stage in stages().await {
        let id = confirmed(&stage).await;
        let app = stage.app().await;
        let cancelled = stage.cancel(&app, id).await.unwrap();
        assert_eq!(cancelled.state.status, Status::Cancelled);
        assert_eq!(cancelled.state.payment, PaymentStatus::Refunding);
        assert_eq!((&*cancelled.reason, cancelled.cancelled_at.is_some()), ("BY_BUYER", true));
        stage.assert_settled(id).await;
        let again = stage.cancel(&app, id).await.unwrap();
        assert_eq!(again, cancelled);
        assert_eq!(stage.world.memory().refunds.len(), 1);
        let key = stage.world.memory().refunds.keys().next().unwrap().clone();
        assert_eq!(key, format!("{id}:cancel"));
        stage.tell(&app, "payment.refunded", id).await;
        assert_eq!(stage.load(id).await.state.payment, PaymentStatus::Refunded);
        let kinds = stage.kinds().await;
        assert_eq!(kinds[kinds.len() - 2..], ["booking.cancelled", "booking.refunded"]);
    }
}

#[tokio::test]
async fn a_used_ticket_a_started_event_and_an_ended_booking_refuse_to_be_cancelled() {
    for stage in stages().await {
        let id = confirmed(&stage).await;
        let app = stage.app().await;
        stage.world.memory().used.insert(id.to_string());
        let refused = stage.cancel(&app, id).await;
        assert_eq!(told(refused), (Code::Conflict, "TICKET_USED".to_owned()));
        let booking = stage.load(id).await;
        assert_eq!(booking.state.status, Status::Confirmed);
        assert!(!booking.cursor.cancelling && booking.cursor.due_at.is_none());
        stage.assert_settled(id).await;

        let starts_at = stage.world.memory().sale.starts_at_us;
        stage.clock.set(kernel::Timestamp::from_micros(starts_at));
        assert_eq!(told(stage.cancel(&app, id).await).1, "TOO_LATE");

        let refused = stage.open(&app, "late").await.unwrap().id;
        stage.resume(&app, Duration::from_secs(900)).await;
        assert_eq!(told(stage.cancel(&app, refused).await).1, "NOT_CANCELLABLE");
        let command = CancelBooking { booking_id: id, reason: "x".repeat(201) };
        let refused = ops::cancel_booking(&app, &stage.as_buyer(), command).await;
        assert_eq!(told(refused).0, Code::Invalid);
    }
}

#[tokio::test]
async fn words_become_a_reason() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        let command = CancelBooking { booking_id: id, reason: "changed my mind!".to_owned() };
        let cancelled = ops::cancel_booking(&app, &stage.as_admin(), command).await.unwrap();
        assert_eq!(cancelled.reason, "CHANGED_MY_MIND");
        assert_eq!(cancelled.state.payment, PaymentStatus::Voided);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn an_undoing_is_tried_until_it_works() {
    for verb in ["CancelPayment", "ReleaseHold"] {
        for fault in [Fault::Down, Fault::LoseAnswers] {
            for stage in stages().await {
                let app = stage.app().await;
                let id = stage.open(&app, "k").await.unwrap().id;
                stage.world.fail(verb, fault.clone());
                let cancelled = stage.cancel(&app, id).await.unwrap();
                assert_eq!(cancelled.state.status, Status::Cancelled);
                assert_eq!(cancelled.cursor.undo.steps().count(), 1, "the other one is done");
                stage.world.heal();
                stage.resume(&stage.app().await, Duration::from_secs(60)).await;
                stage.assert_settled(id).await;
            }
        }
    }
}

#[tokio::test]
async fn an_undoing_that_keeps_failing_waits_for_an_operator() {
    for stage in stages().await {
        let id = confirmed(&stage).await;
        stage.world.fail("RefundPayment", Fault::Refuse(Code::Conflict, "NO_FUNDS"));
        let app = stage.app().await;
        stage.cancel(&app, id).await.unwrap();
        let page = Page::new(1, "").unwrap();
        let admin = stage.as_admin();
        let (letters, _) = ops::list_dead_letters(&app, &admin, &page).await.unwrap();
        assert_eq!((letters[0].booking_id, letters[0].step), (id, Step::RefundPayment));
        assert!(letters[0].last_error.contains("NO_FUNDS"));
        assert!(stage.load(id).await.cursor.due_at.is_none(), "nobody tries by themselves");

        let retry = RetryDeadLetter { booking_id: id, step: Step::RefundPayment };
        assert!(ops::list_dead_letters(&app, &stage.as_buyer(), &page).await.is_err());
        assert!(ops::retry_dead_letter(&app, &stage.as_buyer(), retry).await.is_err());
        ops::retry_dead_letter(&app, &admin, retry).await.unwrap();
        let (letters, _) = ops::list_dead_letters(&app, &admin, &page).await.unwrap();
        assert_eq!(letters.len(), 1, "in vain");

        stage.world.heal();
        ops::retry_dead_letter(&app, &admin, retry).await.unwrap();
        let (letters, _) = ops::list_dead_letters(&app, &admin, &page).await.unwrap();
        assert!(letters.is_empty());
        stage.assert_settled(id).await;
        assert!(ops::retry_dead_letter(&app, &admin, retry).await.is_err(), "there is none");
    }
}

#[tokio::test]
async fn a_paid_booking_that_can_t_be_fulfilled_is_given_up_in_the_end() {
    for verb in ["IssueTickets", "CapturePayment"] {
        for fault in [Fault::Down, Fault::LoseAnswers] {
            let stage = super::stage::stage().await;
            let app = stage.app().await;
            let id = stage.open(&app, "k").await.unwrap().id;
            stage.world.fail(verb, fault.clone());
            stage.pay(&app, id).await;
            let attempts = app.config.max_attempts;
            for attempt in 1..attempts {
                let booking = stage.load(id).await;
                assert_eq!(booking.state.status, Status::PaymentProcessing);
                assert_eq!(booking.cursor.attempts, attempt);
                stage.resume(&stage.app().await, Duration::from_secs(60)).await;
            }
            assert_eq!(stage.load(id).await.state.status, Status::Failed);
            stage.assert_settled(id).await;
        }
    }
}

#[tokio::test]
async fn a_refund_that_the_provider_could_not_make_is_asked_for_anew() {
    for stage in stages().await {
        let id = confirmed(&stage).await;
        let app = stage.app().await;
        stage.cancel(&app, id).await.unwrap();
        {
            let mut memory = stage.world.memory();
            let payment = memory.payments.get_mut(&id.to_string()).unwrap();
            payment.refunded_minor = 0;
        }
        stage.tell(&app, "payment.refund_failed", id).await;
        let admin = stage.as_admin();
        let retry = RetryDeadLetter { booking_id: id, step: Step::RefundPayment };
        ops::retry_dead_letter(&app, &admin, retry).await.unwrap();
        let keys: Vec<_> = stage.world.memory().refunds.keys().cloned().collect();
        assert_eq!(keys, [format!("{id}:cancel"), format!("{id}:cancel:1")]);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn a_refund_that_fails_after_it_seemed_to_have_succeeded_is_shown_to_an_operator() {
    for stage in stages().await {
        let id = confirmed(&stage).await;
        let app = stage.app().await;
        stage.cancel(&app, id).await.unwrap();
        stage.tell(&app, "payment.refunded", id).await;
        assert_eq!(stage.load(id).await.state.payment, PaymentStatus::Refunded);
        stage.world.memory().payments.get_mut(&id.to_string()).unwrap().refunded_minor = 0;
        stage.tell(&app, "payment.refund_failed", id).await;
        let admin = stage.as_admin();
        let retry = RetryDeadLetter { booking_id: id, step: Step::RefundPayment };
        ops::retry_dead_letter(&app, &admin, retry).await.unwrap();
        let keys: Vec<_> = stage.world.memory().refunds.keys().cloned().collect();
        assert_eq!(keys, [format!("{id}:cancel"), format!("{id}:cancel:1")]);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn a_cancellation_goes_on_when_the_tickets_can_t_be_asked_for() {
    for stage in stages().await {
        let id = confirmed(&stage).await;
        let app = stage.app().await;
        stage.world.fail("CancelTickets", Fault::LoseAnswers);
        assert_eq!(told(stage.cancel(&app, id).await).0, Code::Unavailable);
        let booking = stage.load(id).await;
        assert!(booking.state.status == Status::Confirmed && booking.cursor.cancelling);
        assert!(booking.cursor.due_at > Some(stage.clock.now()));
        stage.world.heal();
        stage.resume(&stage.app().await, Duration::from_secs(1)).await;
        assert_eq!(stage.load(id).await.state.status, Status::Cancelled);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn a_late_capture_whose_refund_fails_is_refunded_anew_by_an_operator() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        stage.cancel(&app, id).await.unwrap();
        stage.capture(id);
        stage.world.fail("RefundPayment", Fault::Refuse(Code::Conflict, "REFUND_FAILED"));
        stage.tell(&app, "payment.captured", id).await;
        stage.tell(&app, "payment.refund_failed", id).await;
        stage.world.heal();
        let page = Page::new(0, "").unwrap();
        let admin = stage.as_admin();
        let (letters, _) = ops::list_dead_letters(&app, &admin, &page).await.unwrap();
        let steps: Vec<_> = letters.iter().map(|letter| letter.step).collect();
        assert_eq!(steps, [Step::CancelPayment]);
        let retry = RetryDeadLetter { booking_id: id, step: Step::CancelPayment };
        ops::retry_dead_letter(&app, &admin, retry).await.unwrap();
        assert_eq!(*stage.world.memory().refunds.keys().next().unwrap(), format!("{id}:cancel:1"));
        stage.assert_settled(id).await;
    }
}
