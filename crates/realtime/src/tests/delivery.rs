//! From the event log to the sockets.

use platform::bus::{BOOKING_EVENTS, Envelope, TICKET_EVENTS};
use platform::kv::Received;
use serde_json::json;
use wire::{
    Context,
    pb::{
        booking::v1::{Booking, BookingChanged},
        ticket::v1::{Place, SeatsChanged},
    },
};

use super::*;

fn envelope<T: serde::Serialize>(
    world: &World,
    (topic, kind): (&'static str, &'static str),
    key: &str,
    content: &T,
) -> Envelope {
    let from = (&*world.ids as &dyn Ids, world.clock.now());
    Envelope::new((topic, "test", kind), key, content, &Context::service("test"), from).unwrap()
}

fn seats(event: EventId, seats: &[&str], available: i64) -> SeatsChanged {
    let place = |seat: &&str| Place {
        section: "stalls".to_owned(),
        seat: (*seat).to_owned(),
        ..Place::default()
    };
    let places = seats.iter().map(place).collect();
    SeatsChanged { event_id: event.to_string(), places, available, ..SeatsChanged::default() }
}

#[tokio::test]
async fn an_event_reaches_whom_it_concerns_on_every_replica() {
    let world = World::new().await;
    let (one, other) = (world.replica(config()).await, world.replica_beside(config()).await);
    let (alice, show) = (account(1), event(1));
    let mut alices = [one.signed_in(&world, alice).await, other.signed_in(&world, alice).await];
    let mut bobs = one.signed_in(&world, account(2)).await;
    for client in &mut alices {
        client.join(Room::Event(show), None).await;
    }

    let booking = Booking {
        booking_id: "b1".to_owned(),
        account_id: alice.to_string(),
        ..Booking::default()
    };
    let confirmed = BookingChanged { booking: Some(booking), ..BookingChanged::default() };
    let confirmed = envelope(&world, (BOOKING_EVENTS, "booking.confirmed"), "b1", &confirmed);
    world.bus.publish(std::slice::from_ref(&confirmed)).await.unwrap();
    for client in &mut alices {
        let frame = client.expect("booking:confirmed").await;
        assert_eq!(frame["payload"]["message_id"], confirmed.id.to_string());
    }

    let held = seats(show, &["stalls/C/11", "stalls/C/12"], 98);
    let held = envelope(&world, (TICKET_EVENTS, "seats.held"), &show.to_string(), &held);
    world.bus.publish(&[held]).await.unwrap();
    for client in &mut alices {
        let frame = client.expect("ticket:reserved").await;
        let seat = |seat| json!({ "section": "stalls", "seat": seat });
        let places = json!([seat("stalls/C/11"), seat("stalls/C/12")]);
        assert_eq!(frame["payload"]["places"], places);
        assert_eq!(frame["payload"]["available"], 98);
        let free = client.expect("ticket:availability").await;
        assert_eq!(free["payload"], json!({ "event_id": show.to_string(), "available": 98 }));
    }
    bobs.hears_nothing().await;
}

#[tokio::test]
async fn a_rush_is_told_in_few_frames_and_ends_in_the_truth() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let show = event(1);
    let mut client = replica.visitor().await;
    client.join(Room::Event(show), None).await;

    let mut events = Vec::new();
    for number in 0..100 {
        let seat = format!("stalls/A/{number}");
        let mut tell = |kind, available| {
            let changed = seats(show, &[&seat], available);
            events.push(envelope(&world, (TICKET_EVENTS, kind), &show.to_string(), &changed));
        };
        tell("seats.held", 99 - number);
        match number % 2 {
            0 => tell("seats.sold", 99 - number),
            _ => tell("seats.released", 100 - number),
        }
    }
    let last = seats(show, &["stalls/Z/1"], 1_000);
    events.push(envelope(&world, (TICKET_EVENTS, "seats.held"), &show.to_string(), &last));
    world.bus.publish(&events).await.unwrap();

    let mut seen = std::collections::BTreeMap::new();
    let mut frames = 0;
    loop {
        let frame = client.next().await;
        frames += 1;
        // The last frame of those that are told together.
        if frame["type"] == "ticket:availability" && frame["payload"]["available"] == 1_000 {
            break;
        }
        for place in frame["payload"]["places"].as_array().into_iter().flatten() {
            let kind = frame["type"].as_str().unwrap().to_owned();
            seen.insert(place["seat"].as_str().unwrap().to_owned(), kind);
        }
    }
    assert!(frames < 50, "{frames} frames for {} events", events.len());
    for number in 0..100 {
        let expected = if number % 2 == 0 { "ticket:sold" } else { "ticket:released" };
        assert_eq!(seen[&format!("stalls/A/{number}")], expected, "{number}");
    }
}

#[tokio::test]
async fn a_repeated_batch_does_not_show_seats_as_they_were() {
    let world = World::new().await;
    let _replica = world.replica(config()).await;
    let mut channel = world.kv.subscribe("realtime").await.unwrap();
    let show = event(1);
    let tell = |kind, sequence, available| {
        let changed = SeatsChanged { sequence, ..seats(show, &["stalls/A/1"], available) };
        envelope(&world, (TICKET_EVENTS, kind), &show.to_string(), &changed)
    };
    // A relay that repeats itself; the event log of brokers does not pass over what it has.
    let batch = [("seats.held", 1, 9), ("seats.sold", 2, 8)];
    let repeated =
        batch.iter().chain(&batch).map(|(kind, number, free)| tell(kind, *number, *free));
    let repeated: Vec<_> = repeated.chain([tell("seats.held", 3, 7)]).collect();
    world.bus.publish(&repeated).await.unwrap();
    let mut told = Vec::new();
    while told.last() != Some(&7) {
        let Some(Received::Message(post)) = channel.next().await else { panic!("a message") };
        for post in std::str::from_utf8(&post).unwrap().split('\u{1e}') {
            let payload = post.splitn(3, '\n').nth(2).unwrap();
            let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
            told.push(payload["available"].as_i64().unwrap());
        }
    }
    assert_eq!(told, [9, 8, 7], "each once, and never back in time");
}

#[tokio::test]
async fn in_one_process_nothing_is_told_of_what_concerns_nobody() {
    let world = World::new().await;
    let (mut app, _unit) = world.app(config());
    drop(_unit);
    Arc::get_mut(&mut app).expect("not shared").is_alone = true;
    let tasks = app.tasks.clone();
    relay::start(&app, &tasks);
    until(|| app.listening.load(std::sync::atomic::Ordering::Relaxed)).await;
    let handler = crate::consumers::handler(app.clone());
    let (frames, _queue) = tokio::sync::mpsc::channel(8);
    let ended = tokio_util::sync::CancellationToken::new();
    let member = crate::hub::Member { number: 1, frames, ended };
    let (alice, bob, show) = (account(1), account(2), event(1));
    app.hub.join(Room::User(alice), member, None, world.clock.now()).expect("let in");

    let tell =
        |topic: &str, kind: &str, content| handler(super::telling::delivery(topic, kind, content));
    let booking = |id: AccountId| json!({ "booking": { "account_id": id.to_string() } });
    let payment = |id: AccountId| json!({ "account_id": id.to_string(), "booking_id": "b" });
    let held = |id: EventId| json!({ "event_id": id.to_string(), "available": 1 });
    for nobodys in [
        tell("booking-events", "booking.confirmed", booking(bob)),
        tell("payment-events", "payment.captured", payment(bob)),
        tell("ticket-events", "seats.held", held(show)),
    ] {
        nobodys.await.unwrap();
    }
    assert_eq!(app.meters.published.get(), 0);
    tell("booking-events", "booking.confirmed", booking(alice)).await.unwrap();
    tell("payment-events", "payment.captured", payment(alice)).await.unwrap();
    assert_eq!(app.meters.published.get(), 2);
    let broken = tell("booking-events", "booking.confirmed", json!([])).await.unwrap_err();
    assert_eq!(broken.code, kernel::Code::Invalid, "what can't be read is not passed over");
    tasks.stop(Duration::from_secs(5)).await;
}
