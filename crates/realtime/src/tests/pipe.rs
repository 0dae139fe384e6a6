//! A socket without a network, so that time can be driven and a client can be as slow as wanted.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::extract::ws::Message;
use futures_util::{Sink, SinkExt, Stream};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::*;
use crate::connection;

/// The service's end.
struct Pipe {
    from_client: mpsc::Receiver<Message>,
    to_client: PollSender<Message>,
}

/// The client's end.
pub(super) struct Far {
    /// Dropped, the client is gone.
    pub send: mpsc::Sender<Message>,
    /// Whoever does not read lets it run full.
    pub receive: mpsc::Receiver<Message>,
}

impl Stream for Pipe {
    type Item = Result<Message, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.from_client.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Pipe {
    type Error = axum::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        self.to_client.poll_ready_unpin(cx).map_err(axum::Error::new)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), axum::Error> {
        self.to_client.start_send_unpin(message).map_err(axum::Error::new)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        self.to_client.poll_flush_unpin(cx).map_err(axum::Error::new)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        self.to_client.poll_close_unpin(cx).map_err(axum::Error::new)
    }
}

/// Connects a client of which `unread` messages fit on the way.
pub(super) fn connect(app: &Arc<App>, claims: Option<Claims>, unread: usize) -> Far {
    let (send, from_client) = mpsc::channel(64);
    let (to_client, receive) = mpsc::channel(unread);
    let pipe = Pipe { from_client, to_client: PollSender::new(to_client) };
    let slot = app.slots.clone().try_acquire_owned().expect("a slot");
    app.tasks.spawn("connection", connection::serve(app.clone(), pipe, claims, slot));
    Far { send, receive }
}

impl Far {
    /// The next frame.
    pub(super) async fn frame(&mut self) -> Value {
        match self.receive.recv().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("no frame but {other:?}"),
        }
    }

    /// The next frame, which is of type `kind`.
    pub(super) async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The code of the close, which is next; then the end.
    pub(super) async fn closed(mut self) -> u16 {
        let Some(Message::Close(Some(close))) = self.receive.recv().await else {
            panic!("no close");
        };
        drop(self.send);
        assert_eq!(self.receive.recv().await, None);
        close.code
    }
}
