//! A client as a browser is one.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

/// An answer that is no upgrade.
#[derive(Debug)]
pub(super) struct Refused {
    pub status: u16,
    pub problem: Value,
}

impl Client {
    /// Connects with a query, such as `?token=…`, and a bearer token.
    pub(super) async fn connect(
        address: SocketAddr,
        query: &str,
        bearer: Option<&str>,
    ) -> Result<Self, Refused> {
        let bearer = bearer.map(|token| ("authorization", format!("Bearer {token}")));
        Self::connect_with(address, query, bearer.as_slice()).await
    }

    pub(super) async fn connect_with(
        address: SocketAddr,
        query: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Self, Refused> {
        let mut request = format!("ws://{address}/ws{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match timeout(PATIENCE, connect_async(request)).await.expect("an answer in time") {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => {
                let kind = answer.headers().get("content-type").map(|kind| kind.as_bytes());
                assert_eq!(kind, Some(&b"application/problem+json"[..]));
                let problem = serde_json::from_slice(answer.body().as_deref().unwrap_or_default());
                Err(Refused { status: answer.status().as_u16(), problem: problem.unwrap() })
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) async fn send(&mut self, kind: &str, payload: Value) {
        self.send_text(&json!({ "type": kind, "payload": payload }).to_string()).await;
    }

    pub(super) async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("sent");
    }

    /// The next frame, which is of type `kind`.
    pub(super) async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The next frame, which refuses with `code`.
    pub(super) async fn refused(&mut self, code: &str) {
        let frame = self.expect("system:error").await;
        assert_eq!(frame["payload"]["code"], code, "{frame}");
        let message = frame["payload"]["message"].as_str().expect("words for people");
        assert!(!message.is_empty());
    }

    /// Nothing has come for this client so far.
    pub(super) async fn hears_nothing(&mut self) {
        self.send("system:ping", json!({})).await;
        self.expect("system:pong").await;
    }

    /// Joins a room, with the seq that it knows; answers what it missed, and `room:joined`.
    pub(super) async fn join(
        &mut self,
        room: impl ToString,
        since: Option<&str>,
    ) -> (Vec<Value>, Value) {
        self.send("room:join", json!({ "room": room.to_string(), "since": since })).await;
        let mut missed = Vec::new();
        loop {
            let frame = self.next().await;
            assert_ne!(frame["type"], "system:error", "{frame}");
            assert_eq!(frame["room"], room.to_string());
            if frame["type"] == "room:joined" {
                return (missed, frame);
            }
            missed.push(frame);
        }
    }

    /// The code and the reason of the close.
    pub(super) async fn closed(&mut self) -> (u16, String) {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("closed in time") {
                Some(Ok(Message::Close(Some(close)))) => {
                    return (close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no close but {other:?}"),
            }
        }
    }

    /// Says good-bye, and waits for the answer.
    pub(super) async fn leave(mut self) {
        self.0.close(None).await.unwrap();
        while let Some(Ok(_)) = timeout(PATIENCE, self.0.next()).await.expect("in time") {}
    }

    pub(super) async fn next(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no frame but {other:?}"),
            }
        }
    }
}
