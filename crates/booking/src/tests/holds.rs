//! Holds: places set aside before there is a booking, and the booking that is made of them.

use std::{sync::Arc, time::Duration};

use kernel::{BookingId, Choice, Clock as _, Code, HoldId, Timestamp};
use wire::Context;

use super::{
    stage::{Stage, stages, told},
    world::Sale,
};
use crate::{
    Error,
    app::App,
    domain::{Booking, Offer, Status},
    ops::{self, HoldPlaces, OpenBooking},
};

impl Stage {
    fn hold_id(&self) -> HoldId {
        HoldId::new(&*self.ids, self.clock.now())
    }

    async fn hold(
        &self,
        app: &App,
        context: &Context,
        hold_id: HoldId,
    ) -> Result<(Offer, Timestamp), Error> {
        let OpenBooking { event_id, choice, admission_token, .. } = self.wish("");
        let command = HoldPlaces { hold_id, event_id, choice, admission_token };
        ops::hold_places(app, context, command).await
    }

    async fn book(&self, app: &Arc<App>, key: &str, hold: HoldId) -> Result<Booking, Error> {
        let wish = OpenBooking { hold_id: Some(hold), ..self.wish(key) };
        ops::open_booking(app, &self.as_buyer(), wish).await
    }
}

fn booked(hold: HoldId) -> BookingId {
    BookingId::from_uuid(hold.uuid())
}

#[tokio::test]
async fn a_hold_stands_before_there_is_a_booking_and_becomes_one() {
    for stage in stages().await {
        let (app, buyer, id) = (stage.app().await, stage.as_buyer(), stage.hold_id());
        let (offer, expires_at) = stage.hold(&app, &buyer, id).await.unwrap();
        assert_eq!((offer.places.len(), offer.total.minor), (2, 5_000));
        stage.clock.advance(Duration::from_secs(60));
        assert_eq!(stage.hold(&app, &buyer, id).await.unwrap(), (offer.clone(), expires_at));
        assert_eq!(stage.world.memory().holds.len(), 1);
        assert!(stage.kinds().await.is_empty() && stage.world.memory().payments.is_empty());

        let booking = stage.book(&app, "k", id).await.unwrap();
        assert_eq!((booking.id, booking.state.status), (booked(id), Status::PaymentPending));
        assert_eq!(booking.offer.as_deref(), Some(&offer));
        assert_eq!(booking.expires_at, expires_at, "its time goes on");
        assert_eq!(stage.world.memory().holds.len(), 1);
        stage.pay(&app, booking.id).await;
        assert_eq!(stage.load(booking.id).await.state.status, Status::Confirmed);
        stage.assert_settled(booking.id).await;
    }
}

#[tokio::test]
async fn a_hold_has_one_booking_whatever_the_key() {
    for stage in stages().await {
        let (app, id) = (stage.app().await, stage.hold_id());
        stage.hold(&app, &stage.as_buyer(), id).await.unwrap();
        let (one, two) = tokio::join!(stage.book(&app, "k1", id), stage.book(&app, "k2", id));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.id, two.id), (booked(id), booked(id)));
        let again = stage.book(&app, "k3", id).await.unwrap();
        assert_eq!(again.id, booked(id));
        assert_eq!(stage.world.memory().payments.len(), 1);
        stage.open(&app, "used").await.unwrap();
        let reused = stage.book(&app, "used", id).await;
        assert_eq!(told(reused), (Code::Invalid, "IDEMPOTENCY_KEY_REUSED".to_owned()));

        let choice = Choice::Admissions { section: "floor".to_owned(), quantity: 1 };
        let other = OpenBooking { choice, hold_id: Some(id), ..stage.wish("k4") };
        let other = ops::open_booking(&app, &stage.as_buyer(), other).await;
        assert_eq!(told(other), (Code::Conflict, "HOLD_MISMATCH".to_owned()));
        let theirs = OpenBooking { hold_id: Some(id), ..stage.wish("k1") };
        let theirs = ops::open_booking(&app, &stage.as_stranger(), theirs).await;
        assert_eq!(told(theirs), (Code::Conflict, "HOLD_MISMATCH".to_owned()));
    }
}

#[tokio::test]
async fn a_hold_is_given_back_by_whose_it_is_until_there_is_a_booking() {
    for stage in stages().await {
        let (app, buyer, id) = (stage.app().await, stage.as_buyer(), stage.hold_id());
        stage.hold(&app, &buyer, id).await.unwrap();
        let theirs = stage.hold(&app, &stage.as_stranger(), id).await;
        assert_eq!(told(theirs), (Code::Conflict, "HOLD_MISMATCH".to_owned()));
        assert!(!ops::release_places(&app, &stage.as_stranger(), id).await.unwrap());
        assert!(ops::release_places(&app, &buyer, id).await.unwrap());
        assert!(!ops::release_places(&app, &buyer, id).await.unwrap());
        let lost = stage.hold(&app, &buyer, id).await;
        assert_eq!(told(lost), (Code::Conflict, "HOLD_LOST".to_owned()));
        let lost = stage.book(&app, "k1", id).await;
        assert_eq!(told(lost), (Code::Conflict, "HOLD_LOST".to_owned()));
        stage.assert_settled(booked(id)).await;

        let id = stage.hold_id();
        stage.hold(&app, &buyer, id).await.unwrap();
        stage.book(&app, "k2", id).await.unwrap();
        let refused = ops::release_places(&app, &buyer, id).await;
        assert_eq!(told(refused), (Code::Conflict, "HOLD_BOOKED".to_owned()));
        assert!(!stage.world.memory().holds[&id.to_string()].released);
        stage.cancel(&app, booked(id)).await.unwrap();
        stage.assert_settled(booked(id)).await;
    }
}

#[tokio::test]
async fn what_is_refused_to_one_hold_is_refused_to_the_next_and_not_to_who_has_one() {
    for stage in stages().await {
        let (app, buyer, mine) = (stage.app().await, stage.as_buyer(), stage.hold_id());
        stage.world.memory().sale = Sale { capacity: 2, ..Sale::default() };
        stage.hold(&app, &buyer, mine).await.unwrap();
        for _ in 0..3 {
            let full = stage.hold(&app, &stage.as_stranger(), stage.hold_id()).await;
            assert_eq!(told(full), (Code::Conflict, "SOLD_OUT".to_owned()));
        }
        assert_eq!(stage.world.count("HoldSeats"), 2, "the others were refused from memory");
        let booking = stage.book(&app, "k", mine).await.unwrap();
        assert_eq!(booking.state.status, Status::PaymentPending);

        // What is given back is there for the next at once.
        stage.world.memory().sale = Sale { capacity: 4, ..Sale::default() };
        let more = stage.hold_id();
        stage.hold(&app, &buyer, more).await.unwrap();
        let full = stage.hold(&app, &stage.as_stranger(), stage.hold_id()).await;
        assert_eq!(told(full), (Code::Conflict, "SOLD_OUT".to_owned()));
        ops::release_places(&app, &buyer, more).await.unwrap();
        stage.hold(&app, &stage.as_stranger(), stage.hold_id()).await.unwrap();
    }
}

#[tokio::test]
async fn a_hold_has_terms_and_an_id_of_now() {
    let sale = Sale::default();
    for stage in stages().await {
        let (app, buyer) = (stage.app().await, stage.as_buyer());
        for (sale, reason) in [
            (Sale { on_sale: false, ..sale.clone() }, "SALE_CLOSED"),
            (Sale { max: 1, ..sale.clone() }, "TOO_MANY_PLACES"),
            (Sale { queue_mode: true, ..sale.clone() }, "ADMISSION_REQUIRED"),
        ] {
            stage.world.memory().sale = sale;
            // Each a process of its own, which remembers no refusal.
            let refused = stage.hold(&*stage.app().await, &buyer, stage.hold_id()).await;
            assert_eq!(told(refused).1, reason);
        }
        stage.world.memory().sale = Sale { queue_mode: true, ..sale.clone() };
        let until = stage.clock.now().plus(Duration::from_secs(60));
        let content = format!("{}/{}", stage.event, stage.buyer);
        let admitted = HoldPlaces {
            hold_id: stage.hold_id(),
            event_id: stage.event,
            choice: stage.wish("").choice,
            admission_token: stage.seal().seal("admission", &content, until),
        };
        ops::hold_places(&app, &buyer, admitted).await.unwrap();

        stage.world.memory().sale = sale.clone();
        let now = stage.clock.now();
        let day = Duration::from_secs(25 * 3_600);
        let wrong = [
            "00000000-0000-0000-0000-000000000000".parse().unwrap(),
            "9b2e4a0e-5d3c-4f6a-8b1d-2c3d4e5f6a7b".parse().unwrap(),
            HoldId::new(&*stage.ids, now.minus(day)),
            HoldId::new(&*stage.ids, now.plus(day)),
        ];
        for id in wrong {
            let refused = stage.hold(&app, &buyer, id).await;
            assert_eq!(told(refused).0, Code::Invalid, "{id}");
            assert_eq!(told(stage.book(&app, "k", id).await).0, Code::Invalid, "{id}");
        }
        let nobody = stage.hold(&app, &Context::service("event"), stage.hold_id()).await;
        assert_eq!(told(nobody).0, Code::Unauthenticated);
    }
}
