//! Places with a wish: what is booked, refused, tried again, and never booked twice.

use tonic::Status;

use super::{fakes::Answer, *};

fn refused(reason: &'static str) -> Answer {
    Answer::Refused(wire::status(Failure::new(Code::Conflict, reason, "on purpose")))
}

fn down() -> Answer {
    Answer::Refused(Status::unavailable("on purpose"))
}

#[tokio::test]
async fn a_wish_is_booked_when_its_turn_comes() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    house.wish(id, 1, two()).await.unwrap();
    house.join(id, 2).await.unwrap();
    house.look().await;
    assert!(house.booking.keys().is_empty(), "not before");
    house.pass(2_000).await;

    let place = house.place(id, 1).await.unwrap();
    let booking = house.booking.bookings.lock().unwrap().values().next().copied().unwrap();
    assert_eq!(place.status(), PlaceStatus::Completed);
    assert_eq!((&*place.booking_id, &*place.admission_token), (&*booking.to_string(), ""));
    let (asked, caller) = house.booking.asked.lock().unwrap()[0].clone();
    assert!(caller.is_service(NAME));
    assert_eq!(
        (&*asked.event_id, &*asked.account_id),
        (&*id.to_string(), &*account(1).to_string())
    );
    assert!(asked.idempotency_key.starts_with(&format!("queue:{id}:1:")));
    assert_eq!(asked.choice, two());
    let (content, _) = seal().open("admission", &asked.admission_token, house.clock.now()).unwrap();
    assert_eq!(content, format!("{id}/{}", account(1)));
    assert_eq!(house.status(id, 2).await, PlaceStatus::Admitted);
    let kinds: Vec<String> = house.realtime.told().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["booking:processing", "booking:admitted"]);
    assert_eq!(house.wish(id, 1, two()).await.unwrap().number, 1, "who has booked has booked");
    house.clock.advance(Duration::from_secs(300));
    assert_eq!(house.wish(id, 1, two()).await.unwrap().number, 3, "and may again, in time");
}

#[tokio::test]
async fn a_wish_that_is_refused_fails_with_its_reason_and_another_may_be_tried() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    house.booking.next([refused("SOLD_OUT"), Answer::Failed("HOLD_LAPSED")]);
    house.wish(id, 1, two()).await.unwrap();
    house.wish(id, 2, two()).await.unwrap();
    house.look().await;
    house.pass(2_000).await;
    let place = house.place(id, 1).await.unwrap();
    assert_eq!((place.status(), &*place.reason), (PlaceStatus::Failed, "SOLD_OUT"));
    assert_eq!(house.place(id, 2).await.unwrap().reason, "HOLD_LAPSED");
    let (_, kind, payload) = house.realtime.sent.lock().unwrap()[0].clone();
    assert_eq!((&*kind, &payload["reason"]), ("booking:failed", &"SOLD_OUT".into()));
    assert_eq!(house.wish(id, 1, two()).await.unwrap().number, 3);
    house.pass(1_000).await;
    assert_eq!(house.status(id, 1).await, PlaceStatus::Completed);
    assert_eq!(house.booking.keys().len(), 3, "a refusal is not tried again");
}

#[tokio::test]
async fn a_booking_nobody_heard_of_is_found_again_and_not_made_twice() {
    let ground = ground().await;
    let id = event(1);
    {
        let house = ground.open().await;
        house.publish(on_sale(id)).await;
        house.booking.next([Answer::Lost]);
        house.wish(id, 1, two()).await.unwrap();
        house.look().await;
        house.pass(1_000).await;
        assert_eq!(house.status(id, 1).await, PlaceStatus::Processing);
    }
    let house = ground.open().await;
    house.look().await;
    house.pass(19_000).await;
    assert_eq!(house.booking.keys().len(), 1, "it is left alone while it is claimed");
    house.pass(2_000).await;
    assert_eq!(house.status(id, 1).await, PlaceStatus::Completed);
    let keys = house.booking.keys();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    assert!(keys[0].starts_with(&format!("queue:{id}:1:")), "{keys:?}");
    assert_eq!(house.booking.bookings.lock().unwrap().len(), 1);
    assert_eq!(house.realtime.told().len(), 1);
}

#[tokio::test]
async fn a_wish_is_given_up_after_some_tries_and_the_line_goes_on() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    house.booking.next([down(), down(), down()]);
    house.wish(id, 1, two()).await.unwrap();
    house.join(id, 2).await.unwrap();
    house.look().await;
    house.pass(42_000).await;
    assert_eq!(house.status(id, 2).await, PlaceStatus::Admitted);
    let place = house.place(id, 1).await.unwrap();
    assert_eq!((place.status(), &*place.reason), (PlaceStatus::Failed, "BOOKING_UNAVAILABLE"));
    assert_eq!(house.booking.keys().len(), 3);
    assert_eq!(house.app.counts.given_up.get(), 1);
}

#[tokio::test]
async fn a_slow_booking_keeps_no_other_line_waiting() {
    let house = ground().await.open().await;
    let (slow, other) = (event(1), event(2));
    house.publish(on_sale(slow)).await;
    house.publish(on_sale(other)).await;
    house.booking.next([Answer::Waits]);
    house.wish(slow, 1, two()).await.unwrap();
    house.look().await;
    house.clock.advance(Duration::from_secs(1));
    ops::serve_lines(&house.app).await.unwrap();
    house.booking.entered.notified().await;
    house.join(other, 2).await.unwrap();
    let serving = async {
        while house.status(other, 2).await != PlaceStatus::Admitted {
            house.clock.advance(Duration::from_millis(10));
            ops::serve_lines(&house.app).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap();
    assert_eq!(house.status(slow, 1).await, PlaceStatus::Processing);
    house.booking.go.notify_one();
    house.look().await;
    assert_eq!(house.status(slow, 1).await, PlaceStatus::Completed);
}

#[tokio::test]
async fn a_worker_that_was_overtaken_tells_nobody_what_another_has_told() {
    let ground = ground().await;
    let slow = ground.open().await;
    let other = ground.beside(&slow.kv).await;
    let id = event(1);
    slow.publish(on_sale(id)).await;
    slow.booking.next([Answer::Waits]);
    slow.wish(id, 1, two()).await.unwrap();
    slow.look().await;
    slow.clock.advance(Duration::from_secs(1));
    ops::serve_lines(&slow.app).await.unwrap();
    slow.booking.entered.notified().await;
    other.pass(25_000).await;
    let completed = other.place(id, 1).await.unwrap();
    assert_eq!(completed.status(), PlaceStatus::Completed);
    slow.booking.go.notify_one();
    slow.look().await;
    assert_eq!(slow.place(id, 1).await.unwrap(), completed);
    assert_eq!(slow.booking.keys().len(), 2);
    assert_eq!(slow.booking.bookings.lock().unwrap().len(), 1);
    assert_eq!(slow.realtime.told().len(), 1);
}

#[tokio::test]
async fn every_kind_of_wish_is_booked_as_it_was_left() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(at_rate(id, 600)).await;
    let seats = choice::Seats { seats: vec!["stalls/A/1".into(), "stalls/A/2".into()] };
    let best = choice::BestAvailable {
        quantity: 3,
        section: "stalls".into(),
        category: "premium".into(),
        wheelchair: 1,
    };
    let admissions = choice::Admissions { section: "floor".into(), quantity: 4 };
    use choice::Wish;
    let wishes = [Wish::Seats(seats), Wish::BestAvailable(best), Wish::Admissions(admissions)];
    let wishes = wishes.map(|wish| Some(Choice { wish: Some(wish) }));
    for (number, wish) in (1..).zip(wishes.clone()) {
        house.wish(id, number, wish).await.unwrap();
    }
    house.look().await;
    house.pass(1_000).await;
    let asked = house.booking.asked.lock().unwrap().clone();
    let mut asked: Vec<_> = asked.into_iter().map(|(request, _)| request).collect();
    asked.sort_by(|a, b| a.idempotency_key.cmp(&b.idempotency_key));
    let asked: Vec<_> = asked.into_iter().map(|request| request.choice).collect();
    assert_eq!(asked, wishes);
}
