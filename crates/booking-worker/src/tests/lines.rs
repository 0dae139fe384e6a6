//! Which lines move: events without a queue, sales that are not open, sold out, over.

use super::*;

#[tokio::test]
async fn only_events_in_queue_mode_have_a_queue() {
    let house = ground().await.open().await;
    let id = event(1);
    let missing = (Code::NotFound, "NOT_FOUND".to_owned());
    assert_eq!(refusal(house.join(id, 1).await), missing);
    assert_eq!(refusal(house.place(id, 1).await), missing);
    assert_eq!(refusal(house.leave(id, 1).await), missing);
    assert_eq!(refusal(house.queue(id).await), missing);
    house.publish(Event { queue: None, ..on_sale(id) }).await;
    assert_eq!(refusal(house.join(id, 1).await), (Code::Conflict, "NO_QUEUE".to_owned()));
    assert_eq!(house.queue(id).await.unwrap().admissions_per_minute, 0);
    house.publish(Event { version: 4, ..on_sale(id) }).await;
    assert_eq!(house.join(id, 1).await.unwrap().number, 1);
    // A message that was overtaken changes nothing.
    house.publish(Event { queue: None, ..on_sale(id) }).await;
    assert_eq!(house.join(id, 2).await.unwrap().number, 2);
}

#[tokio::test]
async fn nobody_is_served_before_the_sale_begins_and_then_all_are_in_order() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(Event { sale_starts_at_us: at(100), ..on_sale(id) }).await;
    for number in 1..=3 {
        house.join(id, number).await.unwrap();
    }
    house.pass(99_000).await;
    let place = house.place(id, 2).await.unwrap();
    assert_eq!((place.status(), &*place.reason), (PlaceStatus::Waiting, "SALE_NOT_OPEN"));
    assert_eq!((place.position, place.estimated_wait_seconds), (2, 3), "one second and then two");
    assert!(house.realtime.told().is_empty());
    assert_eq!(house.realtime.last()["reason"], "SALE_NOT_OPEN");
    house.pass(1_000).await;
    assert_eq!(house.status(id, 1).await, PlaceStatus::Admitted);
    assert_eq!(house.status(id, 2).await, PlaceStatus::Waiting, "not all at once");
    house.pass(2_000).await;
    assert_eq!(house.status(id, 3).await, PlaceStatus::Admitted);
}

#[tokio::test]
async fn a_sold_out_line_stands_still_and_says_so_until_something_is_back() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    for number in 1..=9 {
        house.join(id, number).await.unwrap();
    }
    house.look().await;
    house.pass(1_000).await;
    house.sold_out(id, true).await;
    house.look().await;
    assert_eq!(house.realtime.last()["reason"], "SOLD_OUT", "all are told at once");
    house.pass(5_000).await;
    assert_eq!(house.queue(id).await.unwrap().serving, 1);
    let place = house.place(id, 2).await.unwrap();
    assert_eq!((place.status(), &*place.reason), (PlaceStatus::Waiting, "SOLD_OUT"));
    // An edit of an event that is sold out leaves it so.
    let mut edited = Event { version: 4, ..on_sale(id) };
    edited.set_status(EventStatus::SoldOut);
    house.publish(edited).await;
    house.pass(1_000).await;
    assert_eq!(house.queue(id).await.unwrap().serving, 1);
    house.sold_out(id, false).await;
    house.look().await;
    assert_eq!(house.realtime.last().get("reason"), None);
    house.pass(1_000).await;
    assert!(house.queue(id).await.unwrap().serving > 1);
    assert_eq!(&*house.place(id, 9).await.unwrap().reason, "");
}

#[tokio::test]
async fn a_postponed_event_waits_and_one_that_is_over_sends_all_away() {
    let house = ground().await.open().await;
    let (id, other) = (event(1), event(2));
    house.publish(on_sale(id)).await;
    house.publish(on_sale(other)).await;
    for number in 1..=600 {
        house.join(id, number).await.unwrap();
    }
    house.join(other, 1).await.unwrap();
    let mut postponed = Event { version: 4, ..on_sale(id) };
    postponed.set_status(EventStatus::Postponed);
    house.publish(postponed.clone()).await;
    house.pass(2_000).await;
    let place = house.place(id, 1).await.unwrap();
    assert_eq!((place.status(), &*place.reason), (PlaceStatus::Waiting, "POSTPONED"));

    let mut cancelled = Event { version: 5, ..postponed };
    cancelled.set_status(EventStatus::Cancelled);
    house.publish(cancelled).await;
    house.look().await;
    for number in [1, 600] {
        let place = house.place(id, number).await.unwrap();
        assert_eq!((place.status(), &*place.reason), (PlaceStatus::Expired, "SALE_OVER"));
    }
    house.pass(600).await;
    assert_eq!(house.realtime.last()["waiting"], 0);
    assert_eq!(refusal(house.join(id, 7).await), (Code::Conflict, "SALE_OVER".to_owned()));
    let looked_after = house.app.lines.all();
    assert_eq!(looked_after.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [other]);
    // Without any message, a sale is over when its time is.
    house.clock.advance(Duration::from_secs(3_600));
    assert_eq!(refusal(house.join(other, 7).await), (Code::Conflict, "SALE_OVER".to_owned()));
    // What became of it is kept for its time, and no longer.
    assert_eq!(refusal(house.place(id, 1).await), (Code::NotFound, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn who_waits_when_queue_mode_ends_is_served_at_once() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(on_sale(id)).await;
    for number in 1..=30 {
        house.join(id, number).await.unwrap();
    }
    let off = QueueMode::default();
    house.publish(Event { queue: Some(off), version: 4, ..on_sale(id) }).await;
    house.look().await;
    let place = house.place(id, 30).await.unwrap();
    assert_eq!((place.status(), place.admission_expires_at_us), (PlaceStatus::Admitted, at(300)));
    assert_eq!(house.join(id, 30).await.unwrap(), place);
}
