//! Refusals: of terms, of places, of input, of callers.

use std::{sync::Arc, time::Duration};

use kernel::{BookingId, Caller, Choice, Clock as _, Code, OrganizationId, Page, Role};
use wire::Context;

use super::{
    stage::{Stage, stage, stages, told},
    world::{Fault, ORGANIZATION, Sale},
};
use crate::{
    app::Known,
    domain::{RefusedWish, Status},
    ops::{self, OpenBooking},
};

async fn only_booking(stage: &Stage) -> crate::domain::Booking {
    let app = stage.app().await;
    let page = Page::new(0, "").unwrap();
    let (mut bookings, _) = ops::list_bookings(&app, &stage.as_buyer(), &page).await.unwrap();
    assert_eq!(bookings.len(), 1);
    bookings.remove(0)
}

#[tokio::test]
async fn what_the_terms_or_the_places_refuse_is_told_again_to_a_repeat() {
    let sale = Sale::default();
    let closed = Sale { on_sale: false, ..sale.clone() };
    let full = Sale { capacity: 1, ..sale.clone() };
    let few = Sale { max: 1, ..sale.clone() };
    let queue = Sale { queue_mode: true, ..sale };
    for (sale, code, reason) in [
        (closed, Code::Conflict, "SALE_CLOSED"),
        (full, Code::Conflict, "SOLD_OUT"),
        (few, Code::Invalid, "TOO_MANY_PLACES"),
        (queue, Code::Forbidden, "ADMISSION_REQUIRED"),
    ] {
        for stage in stages().await {
            let app = stage.app().await;
            stage.world.memory().sale = sale.clone();
            let refused = stage.open(&app, "k").await;
            assert_eq!(told(refused), (code, reason.to_owned()));
            let calls = stage.world.memory().calls.len();
            stage.world.memory().sale = Sale::default();
            let again: kernel::Failure = stage.open(&app, "k").await.err().unwrap().into();
            assert_eq!((again.code, &*again.reason), (code, reason));
            assert_eq!(again.metadata.contains_key("available"), reason == "SOLD_OUT");
            assert_eq!(stage.world.memory().calls.len(), calls, "a repeat asks nobody");

            let booking = only_booking(&stage).await;
            assert_eq!((booking.state.status, &*booking.reason), (Status::Failed, reason));
            assert_eq!(stage.kinds().await, ["booking.opened", "booking.failed"]);
            stage.assert_settled(booking.id).await;
        }
    }
}

#[tokio::test]
async fn a_wish_that_was_refused_moments_ago_is_refused_without_asking_anybody() {
    for stage in stages().await {
        let app = stage.app().await;
        stage.world.memory().sale.capacity = 2;
        let held = stage.open(&app, "quick").await.unwrap();
        assert_eq!(told(stage.open(&app, "slow").await).1, "SOLD_OUT");
        let (told_before, calls) = (stage.kinds().await.len(), stage.world.memory().calls.len());
        for key in ["late", "later", "late"] {
            let refused: kernel::Failure = stage.open(&app, key).await.err().unwrap().into();
            assert_eq!((refused.code, &*refused.reason), (Code::Conflict, "SOLD_OUT"));
            assert_eq!(refused.metadata.get("available").map(|it| &**it), Some("2"));
        }
        assert_eq!(stage.kinds().await.len(), told_before, "no booking, no step of one");
        assert_eq!(stage.world.memory().calls.len(), calls, "nobody was asked");

        let again = stage.open(&app, "quick").await.unwrap();
        assert_eq!(again.id, held.id, "who was there before gets what was booked");
        let mut other = stage.wish("quick");
        other.choice = Choice::Admissions { section: "floor".to_owned(), quantity: 1 };
        let refused = ops::open_booking(&app, &stage.as_buyer(), other).await;
        assert_eq!(told(refused).1, "IDEMPOTENCY_KEY_REUSED");

        stage.cancel(&app, held.id).await.unwrap();
        stage.clock.advance(Duration::from_millis(1));
        assert_eq!(told(stage.open(&app, "late").await).1, "SOLD_OUT", "once and for all");
        let booked = stage.open(&app, "again").await.unwrap();
        assert_eq!(booked.state.status, Status::PaymentPending, "places came back");
        assert_eq!(told(stage.open(&app, "too late").await).1, "SOLD_OUT");
        stage.world.memory().sale.capacity = 4;
        assert_eq!(told(stage.open(&app, "too early").await).1, "SOLD_OUT");
        stage.clock.advance(Duration::from_millis(app.config.refusal_memory_ms));
        assert!(stage.open(&app, "in time").await.is_ok(), "others gave places back");
        assert_eq!(told(stage.open(&app, "too early").await).1, "SOLD_OUT");

        // A day later a key still stands for what it was refused with; for ever it need not.
        stage.clock.advance(Duration::from_secs(24 * 3_600));
        assert!(!ops::forget_refusals(&app).await.unwrap());
        assert_eq!(told(stage.open(&app, "too early").await).1, "SOLD_OUT");
        stage.clock.advance(Duration::from_secs(24 * 3_600));
        stage.world.memory().sale.capacity = 6;
        assert!(!ops::forget_refusals(&app).await.unwrap());
        assert!(stage.open(&app, "too early").await.is_ok());
        assert_eq!(told(stage.open(&app, "slow").await).1, "SOLD_OUT", "that was a booking");
    }
}

/// Takes away what guards keys; answers how many there were.
async fn forget_keys(stage: &Stage) -> u64 {
    let gone = stage
        .db
        .db
        .write(|tx| Box::pin(async move { tx.execute("delete from booking_keys", &[]).await }));
    Result::<_, db::Error>::unwrap(gone.await)
}

#[tokio::test]
async fn a_key_is_answered_once_though_a_refusal_and_a_booking_race_for_it() {
    for stage in stages().await {
        // Two processes, so that they meet in the database and not in one batch.
        let (app, other) = (stage.app().await, stage.app().await);
        stage.world.memory().sale.capacity = 100;
        for round in 0..20 {
            let (refusing, key) = (round % 2 == 0, format!("k{round}"));
            let wish = stage.wish(&key);
            let wish = Arc::new(RefusedWish {
                id: BookingId::new(&*stage.ids, stage.clock.now()),
                account_id: stage.buyer,
                key: key.clone(),
                event_id: wish.event_id,
                choice: wish.choice,
                refusal: kernel::Failure::new(Code::Conflict, "SOLD_OUT", "no"),
                at: stage.clock.now(),
            });
            let open = stage.open(&app, &key);
            let (refused, opened) = if refusing {
                tokio::join!(other.refuse(wish.clone()), open)
            } else {
                let (opened, refused) = tokio::join!(open, other.refuse(wish.clone()));
                (refused, opened)
            };
            match (refused.unwrap(), opened) {
                (None, Err(error)) => assert_eq!(kernel::Failure::from(error).reason, "SOLD_OUT"),
                (Some(Known::Booking(known)), Ok(opened)) => assert_eq!(known.id, opened.id),
                (known, opened) => {
                    panic!("{key}: refused {}, {:?}", known.is_none(), opened.map(|it| it.id))
                }
            }
            assert!(other.refuse(wish.clone()).await.unwrap().is_some(), "{key} was answered");
            assert_eq!(forget_keys(&stage).await, 1);
            let again = other.refuse(wish).await.unwrap();
            assert!(again.is_none(), "{key}: without its row it is answered twice");
            assert_eq!(forget_keys(&stage).await, 1);
        }
    }
}

#[tokio::test]
async fn each_step_that_is_refused_for_good_is_undone() {
    for verb in ["Quote", "HoldSeats", "CreateIntent", "IssueTickets", "CapturePayment"] {
        for stage in stages().await {
            let app = stage.app().await;
            stage.world.fail(verb, Fault::Refuse(Code::Conflict, "NO"));
            let opened = stage.open(&app, "k").await;
            let booking = only_booking(&stage).await;
            if let Ok(opened) = opened {
                stage.pay(&app, opened.id).await;
            }
            let booking = stage.load(booking.id).await;
            assert_eq!((booking.state.status, &*booking.reason), (Status::Failed, "NO"), "{verb}");
            stage.assert_settled(booking.id).await;
            assert_eq!(stage.world.memory().captures, 0, "{verb}");
        }
    }
}

#[tokio::test]
async fn an_admission_is_asked_for_in_queue_mode_and_is_bound_to_event_account_and_time() {
    let stage = stage().await;
    let app = stage.app().await;
    stage.world.memory().sale.queue_mode = true;
    let soon = stage.clock.now().plus(Duration::from_secs(60));
    let seal = stage.seal();
    let content = format!("{}/{}", stage.event, stage.buyer);
    let good = seal.seal("admission", &content, soon);
    let other_event = seal.seal("admission", &format!("{}/{}", stage.buyer, stage.buyer), soon);
    let other_purpose = seal.seal("invitation", &content, soon);
    let over = seal.seal("admission", &content, stage.clock.now().minus(Duration::from_secs(1)));
    let tokens = [String::new(), "x".to_owned(), other_event, other_purpose, over];
    for (number, token) in tokens.into_iter().enumerate() {
        let wish = OpenBooking { admission_token: token, ..stage.wish(&format!("k{number}")) };
        let refused = ops::open_booking(&app, &stage.as_buyer(), wish).await;
        assert_eq!(told(refused).1, "ADMISSION_REQUIRED");
    }
    assert_eq!(stage.world.count("HoldSeats"), 0);
    let wish = OpenBooking { admission_token: good, ..stage.wish("good") };
    assert!(ops::open_booking(&app, &stage.as_buyer(), wish).await.is_ok());
}

#[tokio::test]
async fn keys_and_tokens_without_form_are_refused_before_anything_is_written() {
    let stage = stage().await;
    let app = stage.app().await;
    for key in [String::new(), "x".repeat(256), "ü".to_owned(), "a\nb".to_owned()] {
        assert_eq!(told(stage.open(&app, &key).await).0, Code::Invalid, "{key:?}");
    }
    let wish = OpenBooking { admission_token: "x".repeat(1_025), ..stage.wish("k") };
    let refused = ops::open_booking(&app, &stage.as_buyer(), wish).await;
    assert_eq!(told(refused).0, Code::Invalid);
    assert!(stage.kinds().await.is_empty());
    assert!(stage.open(&app, &"x".repeat(255)).await.is_ok());
}

#[tokio::test]
async fn a_booking_is_the_business_of_its_buyer_its_organization_and_operators() {
    for stage in stages().await {
        let app = stage.app().await;
        let id = stage.open(&app, "k").await.unwrap().id;
        let organizer = |organization: &str| {
            let id = kernel::AccountId::new(&*stage.ids, stage.clock.now());
            let organization: Option<OrganizationId> = organization.parse().ok();
            let role = Role::Organization;
            Context::new(Caller::Account { id, role, organization, session: None }, "test")
        };
        let other = "01900000-0000-7000-8000-00000000000b";
        let anonymous = Context::new(Caller::Anonymous, "test");
        for (context, sees) in [
            (stage.as_buyer(), true),
            (stage.as_admin(), true),
            (organizer(ORGANIZATION), true),
            (organizer(other), false),
            (stage.as_stranger(), false),
            (anonymous.clone(), false),
        ] {
            let got = ops::get_booking(&app, &context, id).await;
            assert_eq!(got.is_ok(), sees, "{context:?}");
            let history = ops::get_history(&app, &context, id).await;
            assert_eq!(history.is_ok(), sees, "{context:?}");
            if !sees {
                assert_eq!(told(got).0, Code::NotFound);
                let command = ops::CancelBooking { booking_id: id, reason: String::new() };
                let refused = ops::cancel_booking(&app, &context, command).await;
                assert_eq!(told(refused).0, Code::NotFound);
            }
        }
        let page = Page::new(0, "").unwrap();
        assert!(ops::list_bookings(&app, &anonymous, &page).await.is_err());
        let (theirs, _) = ops::list_bookings(&app, &stage.as_stranger(), &page).await.unwrap();
        assert!(theirs.is_empty());
        let missing = BookingId::new(&*stage.ids, stage.clock.now());
        assert_eq!(
            told(ops::get_booking(&app, &stage.as_buyer(), missing).await).0,
            Code::NotFound
        );
        assert_eq!(told(stage.cancel(&app, missing).await).0, Code::NotFound);
        assert_eq!(stage.load(id).await.state.status, Status::PaymentPending);
    }
}

#[tokio::test]
async fn lists_go_page_by_page_newest_first() {
    for stage in stages().await {
        let app = stage.app().await;
        let mut opened = Vec::new();
        for number in 0..5 {
            stage.clock.advance(Duration::from_millis(2));
            opened.push(stage.open(&app, &format!("k{number}")).await.unwrap().id);
        }
        opened.reverse();
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = Page::new(2, &cursor).unwrap();
            let (bookings, next) =
                ops::list_bookings(&app, &stage.as_buyer(), &page).await.unwrap();
            seen.extend(bookings.iter().map(|booking| booking.id));
            cursor = next;
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(seen, opened);
        let page = Page::new(2, "nonsense").unwrap();
        let refused = ops::list_bookings(&app, &stage.as_buyer(), &page).await;
        assert_eq!(told(refused).0, Code::Invalid);
    }
}
