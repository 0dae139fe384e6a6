//! What comes by itself: the sockets of accounts, which bring admissions and confirmations, and
//! whoever waits for one of them.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{engine::World, http::Lost, spawn};

/// What somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// The turn of an account.
    Turn(u32),
    /// The end of a booking.
    Booking(String),
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Admitted {
        token: String,
    },
    Confirmed,
    /// Expired, failed or cancelled.
    Over,
}

/// Who waits for what. A topic has one who waits.
#[derive(Debug, Default)]
pub(crate) struct NewsDesk(Mutex<HashMap<Topic, oneshot::Sender<News>>>);

const CONNECT_TIME: Duration = Duration::from_secs(20);
/// The pause before a lost socket is opened again.
const PAUSE: Duration = Duration::from_millis(500);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<Payload<'a>>,
}

#[derive(Deserialize, Default)]
struct Payload<'a> {
    #[serde(borrow, default)]
    booking_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    admission_token: Option<Cow<'a, str>>,
}

impl NewsDesk {
    /// Waits for news of a topic from now on.
    pub(crate) fn subscribe(&self, topic: Topic) -> oneshot::Receiver<News> {
        let (sender, receiver) = oneshot::channel();
        self.waiting().insert(topic, sender);
        receiver
    }

    /// Nobody waits for it any more.
    pub(crate) fn forget(&self, topic: &Topic) {
        self.waiting().remove(topic);
    }

    /// Hands a frame of an account's own room on.
    fn hand_on(&self, account: u32, frame: &str) {
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(frame) else { return };
        let payload = frame.payload.unwrap_or_default();
        let of_booking = payload.booking_id.map(|id| Topic::Booking(id.into_owned()));
        let (topic, news) = match (&*frame.kind, payload.admission_token, of_booking) {
            ("booking:admitted", Some(token), _) => {
                (Topic::Turn(account), News::Admitted { token: token.into_owned() })
            }
            ("booking:confirmed", _, Some(booking)) => (booking, News::Confirmed),
            ("booking:expired" | "booking:failed" | "booking:cancelled", _, Some(booking)) => {
                (booking, News::Over)
            }
            _ => return,
        };
        if let Some(waiting) = self.waiting().remove(&topic) {
            // Who no longer listens has given up.
            let _gone = waiting.send(news);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Topic, oneshot::Sender<News>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the socket of an account, and keeps it open for as long as the sale lasts.
///
/// # Errors
/// If it can't be opened for the first time.
pub(crate) async fn listen(world: &Arc<World>, account: u32) -> Result<(), Lost> {
    let mut socket = open(world, Some(account)).await?;
    let world = world.clone();
    let tasks = world.tasks.clone();
    spawn(&tasks, "account socket", async move {
        loop {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = message {
                    world.news.hand_on(account, &text);
                }
            }
            socket = again(&world, Some(account)).await;
        }
    });
    Ok(())
}

/// Opens a visitor's socket in the room of the event, and counts what comes.
///
/// # Errors
/// If it can't be opened for the first time.
pub(crate) async fn watch(world: &Arc<World>) -> Result<(), Lost> {
    let mut socket = join(world).await?;
    let world = world.clone();
    let tasks = world.tasks.clone();
    spawn(&tasks, "visitor socket", async move {
        loop {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    world.tally.count(|counts| counts.frames += 1);
                }
            }
            world.tally.lost("socket", "closed");
            sleep(PAUSE).await;
            match join(&world).await {
                Ok(fresh) => socket = fresh,
                Err(error) => world.tally.lost("socket", &error.0),
            }
        }
    });
    Ok(())
}

async fn join(world: &World) -> Result<Socket, Lost> {
    let mut socket = open(world, None).await?;
    let room = format!("event:{}", world.event_id);
    let join = json!({"type": "room:join", "payload": {"room": room}});
    let sent = socket.send(Message::text(join.to_string())).await;
    sent.map_err(|error| Lost(format!("socket: {error}")))?;
    Ok(socket)
}

/// A new socket for one that was lost; meanwhile the account asks.
async fn again(world: &World, account: Option<u32>) -> Socket {
    world.tally.lost("socket", "closed");
    loop {
        sleep(PAUSE).await;
        match open(world, account).await {
            Ok(socket) => return socket,
            Err(error) => world.tally.lost("socket", &error.0),
        }
    }
}

async fn open(world: &World, account: Option<u32>) -> Result<Socket, Lost> {
    let lost = |error: tokio_tungstenite::tungstenite::Error| Lost(format!("socket: {error}"));
    let mut request = world.realtime_url.as_str().into_client_request().map_err(lost)?;
    if let Some(account) = account {
        request.headers_mut().insert("authorization", world.bearer(account));
    }
    let opening = timeout(CONNECT_TIME, tokio_tungstenite::connect_async(request)).await;
    let (socket, _) = opening.map_err(|_| Lost("socket: no answer".into()))?.map_err(lost)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_reach_who_waits_for_them_and_nobody_else() {
        let desk = NewsDesk::default();
        let mut turn = desk.subscribe(Topic::Turn(7));
        let booking = desk.subscribe(Topic::Booking("b-1".into()));
        let admitted =
            r#"{"type":"booking:admitted","room":"user:x","payload":{"admission_token":"t"}}"#;
        desk.hand_on(8, admitted);
        assert!(turn.try_recv().is_err(), "another account's");
        desk.hand_on(7, admitted);
        assert_eq!(turn.await.unwrap(), News::Admitted { token: "t".into() });
        desk.hand_on(7, "no frame");
        desk.hand_on(7, r#"{"type":"booking:confirmed","payload":{"booking_id":"b-1","x":1}}"#);
        assert_eq!(booking.await.unwrap(), News::Confirmed);
        let late = desk.subscribe(Topic::Booking("b-2".into()));
        desk.forget(&Topic::Booking("b-2".into()));
        assert!(late.await.is_err());
    }
}
