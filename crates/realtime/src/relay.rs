//! Messages on their way to all replicas, and from there to the rooms of this one: one channel,
//! which every replica publishes to and listens to, itself included. What waits for nobody is
//! dropped; what is lost on the way is told to everybody as `room:refetch`.

mod outgoing;
pub(crate) mod seats;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

pub(crate) use self::outgoing::Outgoing;

use bytes::Bytes;
use kernel::Failure;
use platform::{Tasks, kv::Received};
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use crate::{
    app::App,
    domain::{Room, Window},
    frame,
};

const CHANNEL: &str = "realtime";
/// How often memory is looked through for what is too old.
const SWEEP: Duration = Duration::from_secs(10);

/// A message for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Post {
    pub room: Room,
    /// Such as `booking:confirmed`.
    pub kind: String,
    /// JSON.
    pub payload: String,
}

/// Sends a message to its room on all replicas.
pub(crate) async fn publish(app: &App, post: &Post) -> Result<(), Failure> {
    app.meters.published.inc();
    let mut text = String::new();
    encode(post, &mut text);
    app.kv.publish(CHANNEL, text.into()).await
}

pub(crate) fn start(app: &Arc<App>, tasks: &Tasks) {
    let listening = app.clone();
    tasks.every("listen", Duration::ZERO, Arc::new(Notify::new()), move || {
        let app = listening.clone();
        async move {
            let ended = listen(&app).await;
            app.listening.store(false, Ordering::Relaxed);
            ended
        }
    });
    let publishing = app.clone();
    tasks.spawn("publish", async move { outgoing::publish_all(&publishing).await });
    let sweeping = app.clone();
    tasks.every("sweep", SWEEP, Arc::new(Notify::new()), move || {
        let app = sweeping.clone();
        async move {
            app.hub.sweep(app.clock.now());
            Ok(false)
        }
    });
}

/// Hands what arrives to its rooms, until the service stops. An error has it subscribe anew.
async fn listen(app: &App) -> Result<bool, Failure> {
    let mut subscription = app.kv.subscribe(CHANNEL).await?;
    // Whatever came while nobody listened is lost.
    begin_anew(app);
    app.listening.store(true, Ordering::Relaxed);
    let stopping = app.tasks.stopping();
    let mut window = Window::default();
    let mut tick = interval(Duration::from_millis(app.config.seat_window_milliseconds));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let received = tokio::select! {
            biased;
            () = stopping.cancelled() => return Ok(false),
            _ = tick.tick(), if !window.is_empty() => {
                for (event, gathered) in window.tick() {
                    seats::posts(event, &gathered).iter().for_each(|post| deliver(app, post));
                }
                continue;
            }
            received = subscription.next() => received,
        };
        match received {
            Some(Received::Message(message)) => {
                app.meters.arrived.inc();
                if window.is_empty() {
                    tick.reset();
                }
                arrive(app, &message, &mut window);
            }
            Some(Received::Missed(missed)) => {
                tracing::warn!(missed, "messages lost between replicas");
                begin_anew(app);
            }
            None => return Err(Failure::unavailable("the channel between replicas closed")),
        }
    }
}

fn arrive(app: &App, message: &Bytes, window: &mut Window) {
    let texts = std::str::from_utf8(message).unwrap_or_default().split(outgoing::SEPARATOR);
    for text in texts {
        match decode(text) {
            Some((room, kind, payload)) if app.hub.knows(room) => {
                let (kind, payload) = (kind.to_owned(), payload.to_owned());
                arrived(app, &Post { room, kind, payload }, window);
            }
            Some(_) => {}
            None => {
                tracing::warn!(bytes = text.len(), "message between replicas can't be read");
            }
        }
    }
}

fn arrived(app: &App, post: &Post, window: &mut Window) {
    match (post.room, seats::changed(post)) {
        (Room::Event(event), Some(changed)) => {
            if let Some(gathered) = window.add(event, changed) {
                seats::posts(event, &gathered).iter().for_each(|post| deliver(app, post));
            }
        }
        _ => deliver(app, post),
    }
}

fn deliver(app: &App, post: &Post) {
    let Post { room, kind, payload } = post;
    let write = |seq| frame::of_room(kind, *room, seq, payload);
    let reached = app.hub.send(*room, app.clock.now(), write);
    app.meters.broadcast(room.kind(), kind, reached);
}

/// Tells everybody that what they have may be out of date.
fn begin_anew(app: &App) {
    app.hub.begin_anew(app.clock.now(), |room, seq| {
        let payload = json!({ "room": room.to_string(), "seq": seq.to_string(), "refetch": true });
        frame::of_room("room:refetch", room, seq, &payload.to_string())
    });
}

/// Room and type on a line each, then the payload: nothing needs to be parsed to be handed on.
fn encode(post: &Post, text: &mut String) {
    let Post { room, kind, payload } = post;
    text.push_str(&room.to_string());
    for line in [kind, payload] {
        text.push('\n');
        text.push_str(line);
    }
}

fn decode(text: &str) -> Option<(Room, &str, &str)> {
    let mut lines = text.splitn(3, '\n');
    let room = lines.next()?.parse().ok()?;
    let kind = lines.next().filter(|kind| frame::is_kind(kind))?;
    Some((room, kind, lines.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent_and_nonsense_is_passed_over() {
        let room = "event:018f0000-0000-7000-8000-000000000001".parse().unwrap();
        let payload = "{\n\"a\": \"b\\nc\"\n}".to_owned();
        let post = Post { room, kind: "ticket:sold".to_owned(), payload };
        let mut text = String::new();
        encode(&post, &mut text);
        assert_eq!(decode(&text), Some((post.room, &*post.kind, &*post.payload)));
        for text in ["", "\n\n", "lobby\nticket:sold\n{}", &format!("{room}\nticket:sold")] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert_eq!(decode(&format!("{room}\nroom:joined\n{{}}")), None);
    }
}
