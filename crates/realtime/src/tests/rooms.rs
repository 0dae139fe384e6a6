//! Who is in a room, what reaches it, and what those get who come back.

use serde_json::{Value, json};

use super::*;

fn numbers(frames: &[Value]) -> Vec<i64> {
    frames.iter().map(|frame| frame["payload"]["n"].as_i64().unwrap()).collect()
}

async fn post(replica: &Replica, room: Room, number: i64) {
    replica.post(room, "booking:queue_position", &json!({ "n": number })).await;
}

#[tokio::test]
async fn a_message_reaches_those_in_the_room_and_nobody_else() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let (here, there) = (Room::Event(event(1)), Room::Event(event(2)));
    let mut inside = replica.visitor().await;
    let mut outside = replica.visitor().await;
    inside.join(here, None).await;
    outside.join(there, None).await;

    post(&replica, here, 1).await;
    let frame = inside.expect("booking:queue_position").await;
    assert_eq!((&frame["room"], &frame["payload"]), (&json!(here.to_string()), &json!({"n": 1})));
    assert!(frame["seq"].is_string());
    outside.hears_nothing().await;

    inside.send("room:leave", json!({ "room": here.to_string() })).await;
    assert_eq!(inside.expect("room:left").await["payload"]["room"], here.to_string());
    post(&replica, here, 2).await;
    post(&replica, there, 3).await;
    assert_eq!(numbers(&[outside.next().await]), [3]);
    inside.hears_nothing().await;
}

#[tokio::test]
async fn an_accounts_room_is_for_that_account_only() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let (alice, bob) = (account(1), account(2));
    let mut visitor = replica.visitor().await;
    let mut bobs = replica.signed_in(&world, bob).await;
    let alices_room = json!({ "room": Room::User(alice).to_string() });
    for client in [&mut visitor, &mut bobs] {
        client.send("room:join", alices_room.clone()).await;
        client.refused("UNAUTHORIZED").await;
    }
    visitor.send("user:subscribe", json!({})).await;
    visitor.refused("UNAUTHORIZED").await;
    visitor.send("user:subscribe", json!({ "token": "nonsense" })).await;
    visitor.refused("UNAUTHORIZED").await;
    replica.post(Room::User(alice), "booking:confirmed", &json!({})).await;
    visitor.hears_nothing().await;
    bobs.hears_nothing().await;

    // A browser keeps its token out of the address, and signs in on the open connection.
    visitor.send("user:subscribe", json!({ "token": world.token(alice) })).await;
    assert_eq!(visitor.expect("room:joined").await["room"], Room::User(alice).to_string());
    replica.post(Room::User(alice), "booking:failed", &json!({})).await;
    visitor.expect("booking:failed").await;
    bobs.hears_nothing().await;

    // As somebody else, it is not told of the first one's business any more.
    visitor.send("user:subscribe", json!({ "token": world.token(bob) })).await;
    assert_eq!(visitor.expect("room:joined").await["room"], Room::User(bob).to_string());
    replica.post(Room::User(alice), "booking:failed", &json!({})).await;
    visitor.hears_nothing().await;
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let room = Room::Event(event(1));
    let mut client = replica.visitor().await;
    let (missed, joined) = client.join(room, None).await;
    assert_eq!((missed.len(), &joined["payload"]["replayed"]), (0, &json!(0)));
    let mut seen = Vec::new();
    for number in 1..=3 {
        post(&replica, room, number).await;
        seen.push(client.next().await);
    }
    client.leave().await;
    until(|| replica.app.hub.members(room) == 0).await;
    post(&replica, room, 4).await;
    post(&replica, room, 5).await;

    let mut client = replica.visitor().await;
    let (missed, joined) = client.join(room, seen[1]["seq"].as_str()).await;
    assert_eq!(numbers(&missed), [3, 4, 5]);
    assert_eq!(missed[0], seen[2], "the very same frame");
    assert_eq!((&joined["payload"]["replayed"], &joined["seq"]), (&json!(3), &missed[2]["seq"]));
    post(&replica, room, 6).await;
    assert_eq!(numbers(&[client.next().await]), [6], "and what comes then, once");
    let (missed, joined) = client.join(room, joined["seq"].as_str()).await;
    assert_eq!((numbers(&missed), &joined["payload"]["replayed"]), (vec![6], &json!(1)));
}

#[tokio::test]
async fn who_comes_back_too_late_is_told_to_refetch() {
    let world = World::new().await;
    let replica = world.replica(Config { history_frames: 2, ..config() }).await;
    let room = Room::Event(event(1));
    let mut client = replica.visitor().await;
    let (_, joined) = client.join(room, None).await;
    let first = joined["seq"].as_str().unwrap().to_owned();
    for number in 1..=3 {
        post(&replica, room, number).await;
        client.next().await;
    }
    for unknown in [first.as_str(), "1:1", "ffffffffffffffff:18446744073709551615"] {
        let (missed, joined) = client.join(room, Some(unknown)).await;
        assert_eq!((missed.len(), &joined["payload"]["refetch"]), (0, &json!(true)), "{unknown}");
    }
    let (_, joined) = client.join(room, None).await;
    let last = joined["seq"].as_str().unwrap().to_owned();
    client.leave().await;

    // Time passes: the room is forgotten, and the one made anew knows nothing of the old one.
    until(|| replica.app.hub.members(room) == 0).await;
    world.clock.advance(Duration::from_secs(121));
    replica.app.hub.sweep(world.clock.now());
    assert!(!replica.app.hub.knows(room));
    let mut client = replica.visitor().await;
    let (_, joined) = client.join(room, Some(&last)).await;
    assert_eq!(joined["payload"]["refetch"], true);
}

#[tokio::test]
async fn what_one_replica_sends_reaches_the_sockets_of_all() {
    let world = World::new().await;
    let (one, other) = (world.replica(config()).await, world.replica(config()).await);
    let room = Room::Event(event(1));
    let (mut here, mut there) = (one.visitor().await, other.visitor().await);
    here.join(room, None).await;
    there.join(room, None).await;
    for number in 1..=3 {
        post(&one, room, number).await;
        let (seen, far) = (here.next().await, there.next().await);
        assert_eq!((numbers(&[seen]), numbers(&[far])), (vec![number], vec![number]));
    }
    // Each counts by itself, and knows that it does.
    let (_, joined) = here.join(room, None).await;
    let (_, elsewhere) = there.join(room, joined["seq"].as_str()).await;
    assert_eq!(elsewhere["payload"]["refetch"], true);
}

#[tokio::test]
async fn what_is_lost_between_replicas_is_told_to_everybody() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let room = Room::Event(event(1));
    let mut client = replica.visitor().await;
    let (_, joined) = client.join(room, None).await;
    // None of these waits, so that the listener gets no turn until the channel has overflowed.
    for number in 0..20_000 {
        post(&replica, Room::Event(event(2)), number).await;
    }
    let frame = client.expect("room:refetch").await;
    assert_eq!(frame["payload"]["refetch"], true);
    let epoch = |frame: &Value| frame["seq"].as_str().unwrap().split(':').next().map(str::to_owned);
    assert_ne!(epoch(&frame), epoch(&joined), "what was known before is unknown now");
}
