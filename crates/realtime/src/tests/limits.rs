//! What a client may do wrong, and too much of.

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::frame::MAX_FRAME_BYTES;

#[tokio::test]
async fn a_bad_frame_is_told_and_ends_nothing() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = replica.visitor().await;
    let room = Room::Event(event(1));
    for (text, code) in [
        ("", "PARSE_ERROR"),
        ("{\"type\":\"room:join\"", "PARSE_ERROR"),
        ("[]", "INVALID_PAYLOAD"),
        ("{\"type\":\"room:join\"}", "INVALID_PAYLOAD"),
        ("{\"type\":\"room:join\",\"payload\":{\"room\":7}}", "INVALID_PAYLOAD"),
        ("{\"type\":\"room:join\",\"payload\":{\"room\":\"lobby\"}}", "UNKNOWN_ROOM"),
        ("{\"type\":\"room:join\",\"payload\":{\"room\":\"event:1\"}}", "UNKNOWN_ROOM"),
        ("{\"type\":\"room:leave\",\"payload\":{\"room\":\"\"}}", "UNKNOWN_ROOM"),
        ("{\"type\":\"room:burn\",\"payload\":{}}", "UNKNOWN_TYPE"),
        ("{\"type\":\"booking:confirmed\",\"payload\":{}}", "UNKNOWN_TYPE"),
    ] {
        client.send_text(text).await;
        client.refused(code).await;
    }
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    client.refused("PARSE_ERROR").await;
    client.send("room:join", json!({ "room": room.to_string(), "since": "x" })).await;
    client.refused("INVALID_PAYLOAD").await;

    client.send_text(&json!({ "type": "room:join", "room": room.to_string() }).to_string()).await;
    client.expect("room:joined").await;
    client.send("system:pong", json!({})).await;
    client.hears_nothing().await;
    let text = replica.metrics.encode();
    assert!(text.contains("realtime_errors_total{code=\"UNKNOWN_ROOM\"} 3"), "{text}");
    assert!(text.contains("realtime_messages_received_total{type=\"other\"} 1"), "{text}");
}

#[tokio::test]
async fn a_frame_too_long_or_unreadable_closes() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = replica.visitor().await;
    client.send_text(&" ".repeat(MAX_FRAME_BYTES)).await;
    client.refused("PARSE_ERROR").await;
    client.send_text(&" ".repeat(MAX_FRAME_BYTES + 1)).await;
    client.refused("FRAME_TOO_LARGE").await;
    assert_eq!(client.closed().await, (1_009, "FRAME_TOO_LARGE".to_owned()));

    let mut client = replica.visitor().await;
    let broken = tokio_tungstenite::tungstenite::protocol::frame::Frame::message(
        vec![0xff, 0xfe],
        tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode::Data(
            tokio_tungstenite::tungstenite::protocol::frame::coding::Data::Text,
        ),
        true,
    );
    client.0.send(Message::Frame(broken)).await.unwrap();
    client.refused("PARSE_ERROR").await;
    assert_eq!(client.closed().await.0, 1_002);
}

#[tokio::test]
async fn a_flood_is_told_and_closed_while_joining_all_rooms_at_once_is_fine() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = replica.visitor().await;
    for number in 0..50 {
        client.join(Room::Event(event(number)), None).await;
    }
    client.send("room:join", json!({ "room": Room::Event(event(50)).to_string() })).await;
    client.refused("TOO_MANY_ROOMS").await;
    client.join(Room::Event(event(7)), None).await;
    client.send("room:leave", json!({ "room": Room::Event(event(7)).to_string() })).await;
    client.expect("room:left").await;
    client.join(Room::Event(event(50)), None).await;

    let mut client = replica.visitor().await;
    for _ in 0..1_000 {
        let ping = json!({ "type": "system:ping" }).to_string();
        if client.0.feed(Message::text(ping)).await.is_err() {
            break;
        }
    }
    let _ = client.0.flush().await;
    let mut frame = client.next().await;
    let mut answered = 0;
    while frame["type"] == "system:pong" {
        answered += 1;
        frame = client.next().await;
    }
    assert_eq!(frame["payload"]["code"], "RATE_LIMITED");
    assert!((70..200).contains(&answered), "{answered}");
    assert_eq!(client.closed().await.0, 1_008);
}

#[tokio::test]
async fn rooms_of_this_process_have_an_end_and_remembered_ones_make_way() {
    let world = World::new().await;
    // One room in each of the sixteen parts.
    let replica = world.replica(Config { max_rooms: 16, ..config() }).await;
    let mut client = replica.visitor().await;
    let (first, same_part) = (Room::Event(event(16)), Room::Event(event(32)));
    client.join(first, None).await;
    client.send("room:join", json!({ "room": same_part.to_string() })).await;
    client.refused("TOO_MANY_ROOMS").await;
    client.send("room:leave", json!({ "room": first.to_string() })).await;
    client.expect("room:left").await;
    client.join(same_part, None).await;
    assert!(!replica.app.hub.knows(first));
    assert_eq!(replica.app.meters.rooms.get(), 1);
}

#[test]
fn values_that_make_no_sense_are_named() {
    let world = tokio::runtime::Runtime::new().unwrap();
    world.block_on(async {
        let world = World::new().await;
        let zero = config();
        for (key, config) in [
            ("queue_frames", Config { queue_frames: 0, ..zero.clone() }),
            ("max_connections", Config { max_connections: 0, ..zero.clone() }),
            ("pong_wait_seconds", Config { pong_wait_seconds: 30, ..zero.clone() }),
            ("seat_window_milliseconds", Config { seat_window_milliseconds: 0, ..zero }),
        ] {
            let error = crate::build(config, world.deps()).err().expect("refused").to_string();
            assert!(error.starts_with(&format!("realtime.{key}: ")), "{error}");
        }
    });
}
