//! Processes that end anywhere, drivers that meet, and what the guards are for.

use std::{sync::Arc, time::Duration};

use kernel::Clock as _;

use super::{
    stage::{Stage, stage, stages},
    world::Fault,
};
use crate::{
    app::{App, Written},
    change::Change,
    consumers,
    domain::{Input, Status},
    ops, saga, store,
};

const LEASE: Duration = Duration::from_secs(60);

/// All that happens to a booking from its opening to its cancellation. Clients and the event log
/// repeat themselves.
async fn journey(stage: &Stage, app: &Arc<App>, cancels: bool) {
    let Ok(booking) = stage.open(app, "k").await else { return };
    if matches!(booking.state.status, Status::PaymentPending | Status::PaymentProcessing) {
        stage.authorize(booking.id);
        let event = stage.event("payment.authorized", booking.id);
        consumers::handle(app, &event).await.unwrap();
    }
    if cancels {
        let _ = stage.cancel(app, booking.id).await;
    }
}

#[tokio::test]
async fn a_process_that_ends_in_any_call_leaves_nothing_that_another_can_t_settle() {
    for (price, cancels, calls) in [(2_500, false, 5), (2_500, true, 8), (0, true, 4)] {
        for number in 0..=calls {
            for fault in [Fault::DieBefore, Fault::DieAfter] {
                let stages = if number % 3 == 0 { stages().await } else { vec![stage().await] };
                for stage in stages {
                    stage.world.memory().sale.price = price;
                    let app = stage.app().await;
                    let at = (number, fault.clone());
                    let died = stage.dies_at(at, journey(&stage, &app, cancels)).await;
                    assert_eq!(died, number < calls, "{:?}", stage.world.memory().calls);
                    drop(app);
                    settles(&stage, cancels).await;
                }
            }
        }
    }
}

async fn settles(stage: &Stage, cancels: bool) {
    let survivor = stage.app().await;
    stage.resume(&survivor, LEASE).await;
    journey(stage, &survivor, cancels).await;
    stage.resume(&survivor, LEASE).await;
    let booking = stage.open(&survivor, "k").await.unwrap();
    let status = if cancels { Status::Cancelled } else { Status::Confirmed };
    let calls = stage.world.memory().calls.clone();
    assert_eq!(booking.state.status, status, "{calls:?}");
    stage.assert_settled(booking.id).await;
    let memory = stage.world.memory();
    assert_eq!(memory.holds.len(), 1);
    assert!(memory.payments.len() <= 1 && memory.tickets.len() == 1 && memory.refunds.len() <= 1);
}

#[tokio::test]
async fn a_buyer_who_never_comes_back_is_settled_too() {
    for number in 0..5 {
        let stage = stage().await;
        let app = stage.app().await;
        let at = (number, Fault::DieAfter);
        assert!(stage.dies_at(at, journey(&stage, &app, false)).await);
        let survivor = stage.app().await;
        stage.resume(&survivor, LEASE).await;
        stage.resume(&survivor, Duration::from_secs(900)).await;
        let page = kernel::Page::new(0, "").unwrap();
        let listed = ops::list_bookings(&survivor, &stage.as_buyer(), &page).await;
        let booking = listed.unwrap().0.remove(0);
        let paid = number > 2;
        let status = if paid { Status::Confirmed } else { Status::Expired };
        assert_eq!(booking.state.status, status, "{number}");
        stage.assert_settled(booking.id).await;
    }
}

/// A booking whose process is gone within the issue of its tickets.
async fn left_behind(stage: &Stage) -> kernel::BookingId {
    let app = stage.app().await;
    let number = 3; // IssueTickets
    assert!(stage.dies_at((number, Fault::DieBefore), journey(stage, &app, false)).await);
    let id = stage.world.memory().payments.keys().next().unwrap().clone();
    id.parse().unwrap()
}

#[tokio::test]
async fn a_driver_that_was_stopped_for_longer_than_its_lease_begins_no_step() {
    for stage in stages().await {
        let id = left_behind(&stage).await;
        let (stopped, other) = (stage.app().await, stage.app().await);
        let (known, context) = (stage.load(id).await, wire::Context::service("booking"));
        stage.clock.advance(LEASE);
        let calls = stage.world.memory().calls.len();
        let driven = saga::drive(&stopped, &context, known.clone()).await.unwrap();
        assert!(driven.trouble.is_some());
        assert_eq!(stage.world.memory().calls.len(), calls, "it is another's turn");
        // Another takes it, and is at work when the first goes on.
        stage.world.fail("CapturePayment", Fault::Wait);
        let late = async {
            stage.world.died.notified().await;
            saga::drive(&stopped, &context, known.clone()).await.unwrap();
            stage.world.go.notify_one();
        };
        let (resumed, ()) = tokio::join!(ops::resume_sagas(&other), late);
        resumed.unwrap();
        assert_eq!(stage.world.count("CapturePayment"), 1);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn a_due_booking_is_gone_on_with_by_one_of_many() {
    for stage in stages().await {
        let id = left_behind(&stage).await;
        stage.clock.advance(LEASE);
        let (one, two) = (stage.app().await, stage.app().await);
        let (first, second) = tokio::join!(ops::resume_sagas(&one), ops::resume_sagas(&two));
        first.unwrap();
        second.unwrap();
        assert_eq!(stage.world.count("CapturePayment"), 1);
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn twin_without_the_lease_two_go_on_with_the_same_booking() {
    let stage = stage().await;
    let id = left_behind(&stage).await;
    let (one, two) = (stage.app().await, stage.app().await);
    let row = stage.load(id).await;
    let context = wire::Context::service("booking");
    let first = saga::drive(&one, &context, row.clone());
    let second = saga::drive(&two, &context, row);
    let _ = tokio::join!(first, second);
    assert_eq!(stage.world.count("CapturePayment"), 2, "the lease is what prevents this");
    stage.assert_settled(id).await;
}

#[tokio::test]
async fn whoever_cancels_while_another_works_is_heard_and_all_is_undone() {
    // Each call of a paid booking's way, the cancellation arriving while it is under way.
    for number in 0..5 {
        for stage in stages().await {
            let app = stage.app().await;
            let at = (number, Fault::DieBefore);
            assert!(stage.dies_at(at, journey(&stage, &app, false)).await);
            let survivor = stage.app().await;
            let page = kernel::Page::new(0, "").unwrap();
            let listed = ops::list_bookings(&survivor, &stage.as_buyer(), &page).await;
            let found = listed.unwrap().0.remove(0);
            assert!(found.is_leased(stage.clock.now()));
            let cancelled = stage.cancel(&survivor, found.id).await.unwrap();
            assert_eq!(cancelled.state.status, Status::Cancelled);
            // The holder of the lease was only slow: it goes on from what it knew.
            let context = wire::Context::service("booking");
            saga::drive(&survivor, &context, found.clone()).await.unwrap();
            stage.assert_settled(found.id).await;
            assert_eq!(stage.load(found.id).await.state.status, Status::Cancelled);
        }
    }
}

#[tokio::test]
async fn a_driver_whose_lease_ran_out_has_what_it_did_undone() {
    for stage in stages().await {
        let app = stage.app().await;
        let at = (2, Fault::DieBefore); // CreateIntent
        assert!(stage.dies_at(at, journey(&stage, &app, false)).await);
        let id = stage.world.memory().holds.keys().next().unwrap().parse().unwrap();
        let slow = stage.load(id).await;
        let survivor = stage.app().await;
        let context = wire::Context::service("booking");
        // It is stopped after it began the step, and before that step has its effect.
        stage.world.fail("CreateIntent", Fault::Wait);
        let meanwhile = async {
            stage.world.died.notified().await;
            stage.world.heal();
            stage.clock.advance(LEASE);
            let cancelled = stage.cancel(&survivor, id).await.unwrap();
            assert!(cancelled.cursor.undo.is_empty(), "all is undone by now");
            stage.world.memory().payments.clear(); // as if it had never been asked for
            stage.world.go.notify_one();
        };
        let (driven, ()) = tokio::join!(saga::drive(&survivor, &context, slow), meanwhile);
        driven.unwrap();
        assert_eq!(stage.world.memory().payments.len(), 1, "the slow one made it after all");
        stage.assert_settled(id).await;
    }
}

#[tokio::test]
async fn a_write_against_an_older_version_is_refused_and_its_twin_forgets_a_cancellation() {
    for guarded in [true, false] {
        for stage in stages().await {
            let app = stage.app().await;
            let id = stage.open(&app, "k").await.unwrap().id;
            let stale = stage.load(id).await;
            stage.cancel(&app, id).await.unwrap();
            let mut change = Change::of(stale, stage.clock.now());
            change.step(Input::PaymentAuthorized).unwrap();
            if !guarded {
                change.against = stage.load(id).await.version;
                change.booking.version = change.against + 1;
            }
            let written = app.write(&stage.as_buyer(), change).await.unwrap();
            let overtaken = matches!(written, Written::Overtaken(_));
            assert_eq!(overtaken, guarded);
            let cancelled = stage.load(id).await.state.status == Status::Cancelled;
            assert_eq!(cancelled, guarded);
        }
    }
}

#[tokio::test]
async fn a_refused_write_leaves_neither_history_nor_events() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        let stale = stage.load(id).await;
        stage.tell(&app, "payment.declined", id).await;
        let kinds = stage.kinds().await;
        let mut change = Change::of(stale, stage.clock.now());
        change.step(Input::PaymentDeclined).unwrap();
        app.write(&stage.as_buyer(), change).await.unwrap();
        assert_eq!(stage.kinds().await, kinds);
        let history =
            stage.db.db.read(move |tx| Box::pin(async move { store::history(tx, id).await }));
        let declines = history.await.unwrap();
        let declines = declines.iter().filter(|step| step.to == Status::PaymentFailed).count();
        assert_eq!(declines, 1);
    }
}
