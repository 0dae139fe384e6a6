//! Whose turn it is: order, rate, restarts, crashes, several processes.

use super::*;
use crate::store;

#[tokio::test]
async fn turns_come_in_order_and_at_the_rate_of_the_event() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(at_rate(id, 600)).await;
    house.pass(3_000).await;
    for number in 1..=100 {
        house.join(id, number).await.unwrap();
    }
    let admitted = || house.realtime.told().len() as u64;
    let start = admitted();
    house.look().await;
    assert!(admitted() - start <= 10, "no more than a second's worth at once");
    for second in 1..=5 {
        house.pass(1_000).await;
        let served = admitted();
        assert!((second * 10..=second * 10 + 10).contains(&served), "{served} after {second} s");
    }
    let told: Vec<String> = house.realtime.told().into_iter().map(|(_, account)| account).collect();
    let in_order: Vec<String> = (1..).take(told.len()).map(|n| account(n).to_string()).collect();
    assert_eq!(told, in_order);
    let place = house.place(id, 100).await.unwrap();
    assert_eq!((place.number, place.serving), (100, admitted()));
    assert_eq!(place.position, 100 - admitted());
    assert_eq!(u64::from(place.estimated_wait_seconds), place.position.div_ceil(10));
    let queue = house.queue(id).await.unwrap();
    assert_eq!((queue.last_number, queue.waiting), (100, 100 - admitted()));
}

#[tokio::test]
async fn every_line_is_served_at_its_own_rate() {
    let house = ground().await.open().await;
    let (slow, fast) = (event(1), event(2));
    house.publish(at_rate(slow, 60)).await;
    house.publish(at_rate(fast, 600)).await;
    for number in 1..=60 {
        house.join(slow, number).await.unwrap();
        house.join(fast, number).await.unwrap();
    }
    house.look().await;
    house.pass(5_000).await;
    assert_eq!(house.queue(slow).await.unwrap().serving, 5);
    assert_eq!(house.queue(fast).await.unwrap().serving, 50);
}

#[tokio::test]
async fn a_restart_keeps_places_settings_and_admissions_and_serves_no_faster() {
    let ground = ground().await;
    let id = event(1);
    let before = {
        let house = ground.open().await;
        house.publish(on_sale(id)).await;
        for number in 1..=5 {
            house.join(id, number).await.unwrap();
        }
        house.look().await;
        house.pass(2_000).await;
        house.place(id, 1).await.unwrap()
    };
    assert_eq!(before.status(), PlaceStatus::Admitted);

    let house = ground.open().await;
    assert_eq!(house.place(id, 1).await.unwrap(), before, "the same admission");
    let place = house.place(id, 5).await.unwrap();
    assert_eq!((place.number, place.serving, place.position), (5, 2, 3));
    assert_eq!(house.join(id, 4).await.unwrap().number, 4);
    assert_eq!(house.join(id, 6).await.unwrap().number, 6);
    assert_eq!(house.queue(id).await.unwrap().admissions_per_minute, 60);
    house.look().await;
    assert_eq!(house.queue(id).await.unwrap().serving, 2, "not faster for having died");
    house.pass(4_000).await;
    assert_eq!(house.queue(id).await.unwrap().serving, 6);
    assert_eq!(house.realtime.told().len(), 6, "each was told once");
}

#[tokio::test]
async fn a_place_whose_worker_died_comes_again_once_its_lease_is_over() {
    let ground = ground().await;
    let id = event(1);
    {
        let house = ground.open().await;
        house.publish(on_sale(id)).await;
        for number in 1..=3 {
            house.join(id, number).await.unwrap();
        }
        let lease = house.app.lease();
        let turns = store::claim(&house.app.queue, id, 1, lease).await.unwrap();
        assert_eq!(turns[0].number, 1);
    }
    let house = ground.open().await;
    assert_eq!(house.status(id, 1).await, PlaceStatus::Processing);
    let refused = refusal(house.leave(id, 1).await);
    assert_eq!(refused, (Code::Conflict, "PLACE_CLAIMED".to_owned()));
    house.look().await;
    house.pass(1_000).await;
    assert_eq!(house.status(id, 1).await, PlaceStatus::Processing);
    assert_eq!(house.status(id, 2).await, PlaceStatus::Admitted);
    for number in 4..=60 {
        house.join(id, number).await.unwrap();
    }
    house.pass(20_000).await;
    assert_eq!(house.status(id, 1).await, PlaceStatus::Admitted);
    assert_eq!(house.status(id, 60).await, PlaceStatus::Waiting);
}

#[tokio::test]
async fn one_process_serves_a_line_and_another_takes_over() {
    let ground = ground().await;
    let one = ground.open().await;
    let other = ground.beside(&one.kv).await;
    let id = event(1);
    one.publish(on_sale(id)).await;
    for number in 1..=50 {
        other.join(id, number).await.unwrap();
    }
    let both = async |milliseconds: u64| {
        for _ in 0..milliseconds / LOOK {
            one.clock.advance(Duration::from_millis(LOOK));
            tokio::join!(one.look(), other.look());
        }
    };
    let serving = async || one.queue(id).await.unwrap().serving;
    one.look().await;
    both(30_000).await;
    assert_eq!(serving().await, 30, "together they are as fast as one, and hold on to the line");
    // One stops: the other goes on at once.
    ops::give_up_lines(&one.app).await;
    other.look().await;
    other.pass(2_000).await;
    assert_eq!(serving().await, 32);
    // The other dies: its lock goes with its lease.
    one.pass(17_000).await;
    assert_eq!(serving().await, 32);
    one.pass(4_000).await;
    assert!(serving().await > 32);
}

#[tokio::test]
async fn the_head_is_told_once_for_all_when_it_changed_and_not_too_often() {
    let house = ground().await.open().await;
    let id = event(1);
    house.publish(at_rate(id, 600)).await;
    house.pass(2_000).await;
    assert!(house.realtime.broadcasts.lock().unwrap().is_empty(), "there is nothing to tell");
    for number in 1..=40 {
        house.join(id, number).await.unwrap();
    }
    house.pass(3_000).await;
    let count = || house.realtime.broadcasts.lock().unwrap().len();
    let told = count();
    assert!((4..=6).contains(&told), "{told} messages in 3 s");
    house.pass(5_000).await;
    let told = house.realtime.last();
    let (id, last) = (id.to_string(), 40);
    let expected = serde_json::json!({
        "event_id": id, "serving": last, "last": last, "waiting": 0
    });
    assert_eq!(told, expected);
    let told = count();
    house.pass(2_000).await;
    assert_eq!(count(), told, "what has not changed is not told again");
    // What could not be told is told later.
    house.realtime.down.store(true, std::sync::atomic::Ordering::SeqCst);
    house.join(event(1), 41).await.unwrap();
    house.pass(1_000).await;
    house.realtime.down.store(false, std::sync::atomic::Ordering::SeqCst);
    house.pass(200).await;
    assert_eq!(house.realtime.last()["last"], 41);
    let (room, kind, _) = house.realtime.broadcasts.lock().unwrap()[0].clone();
    assert_eq!((room, &*kind), (format!("event:{id}"), "booking:queue_position"));
}

#[tokio::test]
async fn who_was_stopped_for_longer_than_its_lease_begins_nothing_that_another_does() {
    let ground = ground().await;
    let stopped = ground.open().await;
    let other = ground.beside(&stopped.kv).await;
    let id = event(1);
    stopped.publish(at_rate(id, 600)).await;
    for number in 1..=8 {
        stopped.wish(id, number, two()).await.unwrap();
    }
    // All four bookings at once are under way, and four places wait for their turn in memory.
    stopped.booking.next((0..4).map(|_| super::fakes::Answer::Waits));
    stopped.look().await;
    stopped.clock.advance(Duration::from_secs(1));
    ops::serve_lines(&stopped.app).await.unwrap();
    while stopped.booking.keys().len() < 4 {
        stopped.booking.entered.notified().await;
    }
    // Its time stands still, others' doesn't.
    other.pass(25_000).await;
    assert_eq!(other.status(id, 8).await, PlaceStatus::Completed);
    let asked = other.booking.keys().len();
    assert_eq!(asked, 4 + 8, "the other has booked for all");
    for _ in 0..4 {
        stopped.booking.go.notify_one();
        tokio::task::yield_now().await;
    }
    let going_on = async {
        for (_, serving) in stopped.app.lines.all() {
            while serving.try_lock().is_err() {
                stopped.booking.go.notify_one();
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), going_on).await.unwrap();
    assert_eq!(stopped.booking.keys().len(), asked, "what waited in memory is not begun");
    assert_eq!(stopped.booking.bookings.lock().unwrap().len(), 8, "each is booked once");
    assert_eq!(stopped.realtime.told().len(), 8, "and told once");
}

#[tokio::test(start_paused = true)]
async fn a_line_is_kept_for_as_long_as_its_bookings_take() {
    let ground = ground().await;
    let house = ground.open().await;
    let id = event(1);
    let mut serving = crate::serving::Serving::default();
    assert!(serving.hold(&house.app, id, house.clock.now()).await.unwrap());
    let lease = house.app.lease();
    let slow = async {
        for _ in 0..6 {
            tokio::time::sleep(lease / 3).await;
            house.clock.advance(lease / 3);
        }
        // The renewal of the same moment may come after this.
        tokio::time::sleep(Duration::from_millis(1)).await;
        house.kv.lock(&format!("{NAME}:{id}"), lease).await.unwrap()
    };
    let taken = serving.while_held(&house.app, slow).await;
    assert_eq!(taken, None, "nobody else got it, though its first lease is over twice");
    assert!(serving.is_held(lease, house.clock.now()));
    // Twin: without keeping it, it is lost.
    let idle = async {
        tokio::time::sleep(lease).await;
        house.clock.advance(lease);
    };
    idle.await;
    assert!(!serving.is_held(lease, house.clock.now()));
    assert!(house.kv.lock(&format!("{NAME}:{id}"), lease).await.unwrap().is_some());
}
