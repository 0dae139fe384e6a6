//! Two replicas of realtime-service: what is published through one reaches sockets on the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use boxoffice::demo::Stage;
use futures_util::{SinkExt, StreamExt};
use kernel::SystemClock;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use wire::{
    Context, Mesh, MeshSettings,
    pb::realtime::v1::{BroadcastRequest, SendToUserRequest, client::RealtimeServiceClient},
};

use crate::{fleet::Fleet, system::Web};

const PATIENCE: Duration = Duration::from_secs(20);
const SENDER: &str = "booking-worker";

/// A buyer's connection to one replica.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(address: &str, token: &str) -> Self {
        let (socket, _) = connect_async(format!("{address}/ws?token={token}")).await.unwrap();
        Self(socket)
    }

    /// Reads until a message of this type comes.
    async fn hear(&mut self, kind: &str) -> Value {
        let heard = timeout(PATIENCE, async {
            loop {
                let Message::Text(text) = self.0.next().await.unwrap().unwrap() else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["type"] == kind {
                    return frame;
                }
            }
        });
        heard.await.unwrap_or_else(|_| panic!("no {kind}"))
    }

    async fn join(&mut self, room: &str) {
        let join = json!({"type": "room:join", "payload": {"room": room}});
        self.0.send(Message::text(join.to_string())).await.unwrap();
        while self.hear("room:joined").await["room"] != *room {}
    }
}

/// A client of the replica at `address` alone, for services.
fn replica(fleet: &Fleet, address: &str) -> RealtimeServiceClient {
    let mesh = Mesh::new(MeshSettings {
        key: fleet.key(),
        calls: boxoffice::topology::CALLS,
        remotes: BTreeMap::from([("realtime".to_owned(), vec![address.to_owned()])]),
        tls: None,
        deadline: PATIENCE,
        clock: Arc::new(SystemClock),
    });
    let wire = mesh.unwrap().wire(SENDER, "realtime").unwrap();
    RealtimeServiceClient::new(wire.with(&Context::service(SENDER)))
}

pub(super) async fn replicas_tell_each_other(fleet: &Fleet) {
    let gateway = &fleet.gateways()[0];
    let login = json!({
        "email": "buyer@boxoffice.example",
        "password": fleet.passwords().await["buyer@boxoffice.example"],
    });
    let buyer = Web::new(gateway);
    let tokens = buyer.post("/api/v1/auth/login", &login).await.expect(200);
    let buyer = buyer.with_token(tokens["access_token"].as_str().unwrap());
    let account = buyer.get("/api/v1/accounts/me").await.expect(200);
    let account = account["account_id"].as_str().unwrap();
    let stage = Stage::against(gateway).await.unwrap_or_else(|error| panic!("{error}"));
    let event = stage.event("Lantern").await.unwrap_or_else(|error| panic!("{error}"));
    let event = event["event_id"].as_str().unwrap();
    let room = format!("event:{event}");

    let mut sockets = Vec::new();
    for address in fleet.faces("realtime", "http") {
        let address = address.replace("http://", "ws://");
        let mut socket = Socket::open(&address, buyer.token.as_ref().unwrap()).await;
        socket.hear("room:joined").await;
        socket.join(&room).await;
        sockets.push(socket);
    }
    let replicas = fleet.faces("realtime", "grpc");
    assert_eq!((sockets.len(), replicas.len()), (2, 2));
    for (number, address) in replicas.iter().enumerate() {
        let payload_json = json!({"number": number}).to_string();
        let message = SendToUserRequest {
            account_id: account.to_owned(),
            r#type: "test:told".to_owned(),
            payload_json: payload_json.clone(),
        };
        replica(fleet, address).send_to_user(message).await.unwrap();
        let message =
            BroadcastRequest { room: room.clone(), r#type: "test:called".to_owned(), payload_json };
        replica(fleet, address).broadcast(message).await.unwrap();
        for socket in &mut sockets {
            assert_eq!(socket.hear("test:told").await["payload"]["number"], number);
            assert_eq!(socket.hear("test:called").await["payload"]["number"], number);
        }
    }

    // An event is consumed by one of the two.
    let choice = json!({"admissions": {"section": "workshop", "quantity": 1}});
    let wish = json!({"event_id": event, "choice": choice});
    let booking = buyer.post_once("/api/v1/bookings", "heard", &wish).await.expect(201);
    for socket in &mut sockets {
        let heard = socket.hear("booking:confirmed").await;
        assert_eq!(heard["payload"]["booking_id"], booking["booking_id"], "{heard}");
    }
    println!("realtime: each replica told the sockets of both");
}
