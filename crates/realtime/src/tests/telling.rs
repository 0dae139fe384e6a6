//! What each event says, and to whom; and what services may send by themselves.

use std::collections::BTreeMap;

use kernel::{Caller, Code, MessageId, Secret, Timestamp};
use platform::bus::Delivery;
use serde_json::{Value, json};
use wire::{
    Context, Mesh, MeshSettings,
    pb::realtime::v1::{
        BroadcastRequest, GetConnectionStatsRequest, SendToUserRequest,
        client::RealtimeServiceClient,
    },
};

use super::*;
use crate::consumers::{self, News};

pub(super) fn delivery(topic: &str, kind: &str, content: Value) -> Delivery {
    Delivery {
        id: MessageId::from_uuid(Uuid::from_u128(9)),
        topic: topic.to_owned().into(),
        key: "k".into(),
        kind: kind.into(),
        source: "test".into(),
        at: Timestamp::from_seconds(1_800_000_000),
        correlation_id: "test".into(),
        content: content.into(),
        attempts: 0,
    }
}

fn told(topic: &str, kind: &str, content: Value) -> Option<(Room, String, Value)> {
    let news = consumers::news(&delivery(topic, kind, content)).expect("readable")?;
    let (News::ToAccount(post) | News::Seats(_, post)) = news;
    Some((post.room, post.kind, serde_json::from_str(&post.payload).unwrap()))
}

#[test]
fn a_buyer_is_told_every_step_and_no_secret() {
    let alice = account(1);
    let booking = json!({
        "booking_id": "b", "reference": "BKG1", "account_id": alice.to_string(), "event_id": "e",
        "event_name": "Tempest", "status": 4, "payment_status": 2, "reason": "CARD_DECLINED",
        "client_secret": "very-secret", "expires_at_us": 1_800_000_900_000_000_i64,
        "total": { "minor": 4_200, "currency": "EUR" },
    });
    let content = json!({ "booking": booking, "tickets": [{ "code": "very-secret" }] });
    for (kind, expected) in [
        ("opened", "processing"),
        ("seats_reserved", "seats_reserved"),
        ("payment_requested", "payment_pending"),
        ("payment_processing", "processing"),
        ("payment_failed", "payment_failed"),
        ("confirmed", "confirmed"),
        ("cancelled", "cancelled"),
        ("failed", "failed"),
        ("expired", "expired"),
        ("refunded", "refunded"),
    ] {
        let kind = format!("booking.{kind}");
        let (room, told, payload) = told("booking-events", &kind, content.clone()).expect(&kind);
        assert_eq!((room, told), (Room::User(alice), format!("booking:{expected}")));
        assert!(!payload.to_string().contains("very-secret"), "{payload}");
        assert_eq!(
            payload,
            json!({
                "booking_id": "b", "reference": "BKG1", "event_id": "e", "event_name": "Tempest",
                "status": "payment_pending", "payment_status": "pending",
                "reason": "CARD_DECLINED", "total": { "minor": 4_200, "currency": "EUR" },
                "expires_at": "2027-01-15T08:15:00Z", "at": "2027-01-15T08:00:00Z",
                "message_id": Uuid::from_u128(9).to_string(),
            })
        );
    }
}

#[test]
fn a_payer_is_told_how_it_goes_and_a_holder_of_the_door() {
    let alice = account(1);
    let payment = json!({
        "payment_id": "p", "booking_id": "b", "account_id": alice.to_string(),
        "decline_code": "insufficient_funds", "refund_id": "r", "fully": true,
        "amount": { "minor": 1, "currency": "EUR" },
    });
    for (kind, expected, may_retry) in [
        ("authorized", "processing", None),
        ("captured", "success", None),
        ("declined", "failed", Some(true)),
        ("failed", "failed", Some(false)),
        ("cancelled", "cancelled", None),
        ("refunded", "refunded", None),
    ] {
        let kind = format!("payment.{kind}");
        let (room, told, payload) = told("payment-events", &kind, payment.clone()).expect(&kind);
        assert_eq!((room, told), (Room::User(alice), format!("payment:{expected}")));
        assert_eq!(payload["may_retry"].as_bool(), may_retry);
        assert_eq!(payload["refund_id"].as_str(), (expected == "refunded").then_some("r"));
        assert_eq!((&payload["booking_id"], &payload["amount"]["minor"]), (&json!("b"), &json!(1)));
    }
    let used = json!({ "ticket_id": "t", "account_id": alice.to_string(), "gate": "north" });
    let (room, kind, payload) = told("ticket-events", "ticket.used", used).unwrap();
    assert_eq!((room, kind.as_str()), (Room::User(alice), "ticket:used"));
    assert_eq!(payload["gate"], "north");
}

#[test]
fn an_event_says_which_places_and_never_whose() {
    let show = event(1);
    let content = json!({
        "event_id": show.to_string(), "hold_id": "h", "available": 5,
        "places": [
            { "section": "A", "seat": "A/1/2", "category": "c" },
            { "section": "floor", "seat": "" },
        ],
    });
    for (kind, expected) in [
        ("seats.held", "ticket:reserved"),
        ("seats.released", "ticket:released"),
        ("seats.sold", "ticket:sold"),
    ] {
        let (room, kind, payload) = told("ticket-events", kind, content.clone()).unwrap();
        assert_eq!((room, kind.as_str()), (Room::Event(show), expected));
        let places = json!([
            { "section": "A", "seat": "A/1/2" }, { "section": "floor", "quantity": 1 },
        ]);
        let event_id = show.to_string();
        assert_eq!(payload, json!({ "event_id": event_id, "places": places, "available": 5 }));
    }
}

#[test]
fn what_concerns_nobody_passes_and_what_is_broken_is_a_dead_letter() {
    for (topic, kind) in [
        ("booking-events", "booking.dreamt"),
        ("payment-events", "payment.refund_failed"),
        ("ticket-events", "ticket.printed"),
        ("catalog-events", "event.published"),
    ] {
        assert_eq!(told(topic, kind, json!({})), None, "{kind}");
    }
    for (topic, kind, content) in [
        ("booking-events", "booking.confirmed", json!({})),
        ("booking-events", "booking.confirmed", json!({ "booking": { "account_id": "?" } })),
        ("booking-events", "booking.confirmed", json!([])),
        ("payment-events", "payment.captured", json!({ "account_id": "" })),
        ("ticket-events", "seats.held", json!({ "event_id": "" })),
    ] {
        let failed = consumers::news(&delivery(topic, kind, content)).err().expect(kind);
        assert_eq!(failed.code, Code::Invalid);
    }
}

#[tokio::test]
async fn services_and_operators_send_and_nobody_else() {
    let world = World::new().await;
    let (app, mut unit) = world.app(config());
    let mesh = Mesh::new(MeshSettings {
        key: Secret::new(vec![7; 32]),
        calls: &[("booking-worker", &["realtime"])],
        remotes: BTreeMap::new(),
        tls: None,
        deadline: Duration::from_secs(30),
        clock: world.clock.clone(),
    })
    .unwrap();
    let _face = mesh.fill("realtime", unit.grpc.take().unwrap()).unwrap();
    let wire = mesh.wire("booking-worker", "realtime").unwrap();
    let mut subscription = world.kv.subscribe("realtime").await.unwrap();
    let (room, alice) = (Room::Event(event(1)), account(1));
    let broadcast = |room: &str, kind: &str, payload: &str| BroadcastRequest {
        room: room.to_owned(),
        r#type: kind.to_owned(),
        payload_json: payload.to_owned(),
    };
    let fine = broadcast(&room.to_string(), "booking:queue_position", "{\"serving\": 7}");

    let mut service = RealtimeServiceClient::new(wire.clone());
    assert_eq!(service.broadcast(fine.clone()).await.unwrap().get_ref().recipients, 0);
    let admitted = SendToUserRequest {
        account_id: alice.to_string(),
        r#type: "booking:admitted".to_owned(),
        payload_json: "{}".to_owned(),
    };
    service.send_to_user(admitted.clone()).await.unwrap();
    for expected in [
        format!("{room}\nbooking:queue_position\n{{\"serving\": 7}}"),
        format!("{}\nbooking:admitted\n{{}}", Room::User(alice)),
    ] {
        let received = subscription.next().await;
        assert_eq!(received, Some(platform::kv::Received::Message(expected.into())));
    }
    let stats = service.get_connection_stats(GetConnectionStatsRequest {}).await.unwrap();
    assert_eq!(stats.get_ref().total, 0);
    assert_eq!(app.meters.published.get(), 2);

    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(32_768));
    let users = Room::User(alice).to_string();
    for (room, kind, payload) in [
        ("", "a:b", "{}"),
        ("lobby", "a:b", "{}"),
        (users.as_str(), "a:b", "{}"),
        (&room.to_string(), "", "{}"),
        (&room.to_string(), "system:error", "{}"),
        (&room.to_string(), "a:b\n", "{}"),
        (&room.to_string(), "a:b", ""),
        (&room.to_string(), "a:b", "7"),
        (&room.to_string(), "a:b", "{},{}"),
        (&room.to_string(), "a:b", &long),
    ] {
        let refused = service.broadcast(broadcast(room, kind, payload)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{room} {kind} {payload:.9}");
    }
    for role in [Role::Individual, Role::Organization] {
        let id = alice;
        let caller = Caller::Account { id, role, organization: None, session: None };
        let mut buyer = RealtimeServiceClient::new(wire.with(&Context::new(caller, "test")));
        let denied = [
            buyer.broadcast(fine.clone()).await.unwrap_err().code(),
            buyer.send_to_user(admitted.clone()).await.unwrap_err().code(),
            buyer.get_connection_stats(GetConnectionStatsRequest {}).await.unwrap_err().code(),
        ];
        assert_eq!(denied, [tonic::Code::PermissionDenied; 3]);
    }
    let nobody = Context::new(Caller::Anonymous, "test");
    let mut visitor = RealtimeServiceClient::new(wire.with(&nobody));
    assert!(visitor.broadcast(fine).await.is_err());
}
