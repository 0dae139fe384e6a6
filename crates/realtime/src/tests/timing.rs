//! Silence, slowness and old tokens, on a clock that is driven.

use axum::extract::ws::Message;
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::{pipe::connect, *};
use crate::frame;

/// The service as built, with nothing but connections running, and time that stands still.
async fn still(config: Config) -> (World, Arc<App>) {
    let world = World::new().await;
    let (app, _) = world.app(config);
    tokio::time::pause();
    (world, app)
}

fn post(app: &App, room: Room, kind: &str) -> u64 {
    app.hub.send(room, app.clock.now(), |seq| frame::of_room(kind, room, seq, "{}"))
}

#[tokio::test]
async fn a_client_without_a_sign_of_life_is_given_up() {
    let (_world, app) = still(Config { ping_seconds: 40, ..config() }).await;
    let started = Instant::now();
    let mut silent = connect(&app, None, 64);
    silent.expect("system:connected").await;
    assert!(matches!(silent.receive.recv().await, Some(Message::Ping(_))));
    assert_eq!(started.elapsed().as_secs(), 40);
    assert_eq!(silent.receive.recv().await, None, "no good-bye for somebody who is not there");
    assert_eq!(started.elapsed().as_secs(), 60);
    until(|| app.meters.connections.get() == 0).await;

    let mut alive = connect(&app, None, 64);
    alive.expect("system:connected").await;
    for _ in 0..10 {
        assert!(matches!(alive.receive.recv().await, Some(Message::Ping(_))));
        alive.send.send(Message::Pong(Bytes::new())).await.unwrap();
    }
    assert_eq!(started.elapsed().as_secs(), 60 + 400);
}

#[tokio::test]
async fn a_slow_client_is_told_and_closed_and_holds_up_nobody() {
    let (_world, app) = still(config()).await;
    let room = Room::Event(event(1));
    let join = Message::text(json!({ "type": "room:join", "room": room.to_string() }).to_string());
    let mut clients = [connect(&app, None, 2), connect(&app, None, 1_000)];
    for client in &mut clients {
        client.expect("system:connected").await;
        client.send.send(join.clone()).await.unwrap();
        client.expect("room:joined").await;
    }
    let [mut slow, mut quick] = clients;
    // It takes in what fits on the way; then its queue fills up while the other one reads.
    let mut sent = 0_u64;
    while post(&app, room, "booking:queue_position") == 2 {
        sent += 1;
        quick.expect("booking:queue_position").await;
        assert!(sent < 1_000, "somebody who reads nothing is out at last");
    }
    quick.expect("booking:queue_position").await;
    assert!(sent >= app.config.queue_frames as u64);
    assert_eq!(post(&app, room, "booking:queue_position"), 1, "not in the room any more");

    let mut seen = Vec::new();
    let error = loop {
        let frame = slow.frame().await;
        if frame["type"] == "system:error" {
            break frame;
        }
        seen.push(frame["seq"].as_str().unwrap().to_owned());
    };
    assert_eq!(error["payload"]["code"], "SLOW_CLIENT");
    assert_eq!(slow.closed().await, 1_013);
    assert_eq!(app.meters.slow_clients.get(), 1);

    // What it has is a beginning without a gap, and from its last seq on it gets the rest.
    let mut back = connect(&app, None, 1_000);
    back.expect("system:connected").await;
    let since = json!({ "room": room.to_string(), "since": seen.last().unwrap() });
    let join = json!({ "type": "room:join", "payload": since }).to_string();
    back.send.send(Message::text(join)).await.unwrap();
    for _ in seen.len() as u64..sent + 2 {
        seen.push(back.expect("booking:queue_position").await["seq"].as_str().unwrap().to_owned());
    }
    let joined = back.expect("room:joined").await;
    assert_eq!(joined["payload"]["seq"], seen.last().unwrap().as_str());
    seen.dedup();
    assert_eq!(seen.len() as u64, sent + 2, "each once");
}

#[tokio::test]
async fn a_write_that_takes_too_long_ends_the_connection() {
    let (_world, app) = still(config()).await;
    let room = Room::Event(event(1));
    let mut stuck = connect(&app, None, 1);
    stuck.expect("system:connected").await;
    let join = json!({ "type": "room:join", "room": room.to_string() }).to_string();
    stuck.send.send(Message::text(join)).await.unwrap();
    stuck.expect("room:joined").await;
    let started = Instant::now();
    assert_eq!((post(&app, room, "ticket:sold"), post(&app, room, "ticket:sold")), (1, 1));
    while app.meters.connections.get() > 0 {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(app.hub.members(room), 0);
    assert_eq!(app.meters.slow_clients.get(), 1);
}

#[tokio::test]
async fn with_an_old_token_the_accounts_room_is_left() {
    for allow_anonymous in [true, false] {
        let (world, app) = still(Config { allow_anonymous, ..config() }).await;
        let (alice, started) = (account(1), Instant::now());
        let mut client = connect(&app, Some(world.claims(alice)), 64);
        client.expect("system:connected").await;
        client.expect("room:joined").await;
        let error = loop {
            match client.receive.recv().await.unwrap() {
                Message::Text(text) => break serde_json::from_str::<Value>(&text).unwrap(),
                _ => client.send.send(Message::Pong(Bytes::new())).await.unwrap(),
            }
        };
        assert_eq!(error["payload"]["code"], "TOKEN_EXPIRED");
        assert_eq!(started.elapsed().as_secs(), 900);
        assert_eq!(post(&app, Room::User(alice), "booking:confirmed"), 0);
        if !allow_anonymous {
            assert_eq!(client.closed().await, 1_008);
            continue;
        }
        assert_eq!((app.meters.authenticated.get(), app.meters.anonymous.get()), (0, 1));
        world.clock.advance(Duration::from_secs(900));
        let token = json!({ "token": world.token(alice) });
        let subscribe = json!({ "type": "user:subscribe", "payload": token }).to_string();
        client.send.send(Message::text(subscribe)).await.unwrap();
        loop {
            match client.receive.recv().await.unwrap() {
                Message::Text(text) => break assert!(text.contains("room:joined"), "{text}"),
                _ => client.send.send(Message::Pong(Bytes::new())).await.unwrap(),
            }
        }
        assert_eq!(post(&app, Room::User(alice), "booking:confirmed"), 1);
        assert_eq!((app.meters.authenticated.get(), app.meters.anonymous.get()), (1, 0));
        tokio::time::resume();
    }
}
