//! One connection, from `system:connected` to its close: a task that reads what the client sends,
//! and writes what its rooms queue up for it. A client that can't keep up is told and closed,
//! never left out.

mod requests;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes};
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use kernel::AccountId;
use platform::tokens::Claims;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    domain::{Pace, Room},
    frame::{self, Frame, MAX_FRAME_BYTES, Refusal},
    hub::Member,
};

/// How many frames are written with one flush.
const BATCH: usize = 32;
/// How long a closed connection may take to say good-bye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Close codes of RFC 6455, and its registry.
mod code {
    pub(super) const UNREADABLE: u16 = 1_002;
    pub(super) const POLICY: u16 = 1_008;
    pub(super) const TOO_BIG: u16 = 1_009;
    pub(super) const RESTART: u16 = 1_012;
    pub(super) const TRY_AGAIN: u16 = 1_013;
}

/// A WebSocket.
pub(crate) trait Socket:
    Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin + Send
{
}

impl<S> Socket for S where
    S: Stream<Item = Result<Message, axum::Error>>
        + Sink<Message, Error = axum::Error>
        + Unpin
        + Send
{
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client is not there any more.
    Gone,
    /// The client said good-bye.
    Left,
    /// The service stops.
    Stopping,
    /// The client reads too slowly.
    Slow,
    /// The client does what it must not.
    Refused(Refusal, u16),
}

/// Who a connection belongs to, and until when that is known.
#[derive(Debug, Clone, Copy)]
struct Identity {
    account: AccountId,
    expires_at: Instant,
}

struct Connection {
    app: Arc<App>,
    number: u64,
    identity: Option<Identity>,
    rooms: Vec<Room>,
    frames: mpsc::Sender<Frame>,
    /// Cancelled when the service stops, or when the client is too slow.
    ended: CancellationToken,
    pace: Pace,
    opened_at: Instant,
    heard_at: Instant,
    ping_at: Instant,
}

/// Runs a connection to its end. `_slot` is its place among the connections of this process.
pub(crate) async fn serve(
    app: Arc<App>,
    mut socket: impl Socket,
    claims: Option<Claims>,
    _slot: OwnedSemaphorePermit,
) {
    let (frames, mut queue) = mpsc::channel(app.config.queue_frames);
    let mut connection = Connection::new(app, frames);
    let end = connection.run(&mut socket, &mut queue, claims).await;
    // Nobody is to wait in the queue of somebody who is about to leave.
    drop(connection);
    drop(queue);
    part(socket, end).await;
}

impl Connection {
    fn new(app: Arc<App>, frames: mpsc::Sender<Frame>) -> Self {
        let now = Instant::now();
        let per_second = app.config.messages_per_second;
        let burst = u32::try_from(app.config.max_rooms_per_connection).unwrap_or(u32::MAX);
        app.meters.connections.inc();
        app.meters.anonymous.inc();
        Self {
            number: app.connections.fetch_add(1, Ordering::Relaxed),
            identity: None,
            rooms: Vec::new(),
            frames,
            ended: app.tasks.stopping().child_token(),
            pace: Pace::new(per_second, per_second.saturating_add(burst)),
            opened_at: now,
            heard_at: now,
            ping_at: now + app.ping_period(),
            app,
        }
    }

    async fn run(
        &mut self,
        socket: &mut impl Socket,
        queue: &mut mpsc::Receiver<Frame>,
        claims: Option<Claims>,
    ) -> End {
        let welcome = self.welcome(claims);
        if let Err(end) = self.write(socket, welcome).await {
            return end;
        }
        let ended = self.ended.clone();
        let mut timer = std::pin::pin!(sleep_until(self.next_time()));
        let mut waiting = Vec::with_capacity(BATCH);
        loop {
            let done = tokio::select! {
                biased;
                () = ended.cancelled() => Err(self.why_ended()),
                () = timer.as_mut() => self.on_time(socket).await,
                message = socket.next() => self.hear(socket, message).await,
                _ = queue.recv_many(&mut waiting, BATCH) => {
                    self.write(socket, waiting.drain(..)).await
                }
            };
            if let Err(end) = done {
                return end;
            }
            let next = self.next_time();
            if timer.is_elapsed() || next < timer.deadline() {
                timer.as_mut().reset(next);
            }
        }
    }

    /// What every connection is told first.
    fn welcome(&mut self, claims: Option<Claims>) -> Vec<Frame> {
        let now = self.app.clock.now();
        let mut frames = vec![frame::connected(self.app.ids.uuid(now), now)];
        if let Some(claims) = claims {
            self.sign_in(&claims);
            let joined = self.join(Room::User(claims.account), None);
            frames.extend(joined.unwrap_or_else(|refusal| vec![refusal.frame()]));
        }
        frames
    }

    /// Writes frames with one flush.
    async fn write(
        &self,
        socket: &mut impl Socket,
        frames: impl IntoIterator<Item = Frame> + Send,
    ) -> Result<(), End> {
        let frames = frames.into_iter().map(Message::Text);
        self.put(socket, frames).await
    }

    async fn put(
        &self,
        socket: &mut impl Socket,
        messages: impl Iterator<Item = Message>,
    ) -> Result<(), End> {
        let written = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        tokio::select! {
            biased;
            () = self.ended.cancelled() => Err(self.why_ended()),
            written = timeout(self.app.write_limit(), written) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(self.slow()),
            }
        }
    }

    async fn hear(
        &mut self,
        socket: &mut impl Socket,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<(), End> {
        self.heard_at = Instant::now();
        let message = match message {
            None => return Err(End::Gone),
            Some(Err(error)) => {
                tracing::debug!(%error, "frame not read");
                let refusal = Refusal::new("PARSE_ERROR", "the frame can't be read");
                return Err(self.refused(refusal, code::UNREADABLE));
            }
            Some(Ok(Message::Close(_))) => return Err(End::Left),
            Some(Ok(Message::Pong(_))) => return Ok(()),
            Some(Ok(message)) => message,
        };
        if !self.pace.allows(self.heard_at - self.opened_at) {
            let refusal = Refusal::new("RATE_LIMITED", "too many messages");
            return Err(self.refused(refusal, code::POLICY));
        }
        let answer = match message {
            Message::Text(text) if text.len() > MAX_FRAME_BYTES => {
                let message = format!("a frame has at most {MAX_FRAME_BYTES} bytes");
                let refusal = Refusal::new("FRAME_TOO_LARGE", message);
                return Err(self.refused(refusal, code::TOO_BIG));
            }
            Message::Text(text) => self.answer(&text).await,
            Message::Binary(_) => Err(Refusal::new("PARSE_ERROR", "frames are text")),
            // Answered by the protocol's own machinery.
            _ => return Ok(()),
        };
        match answer {
            Ok(frames) => {
                for frames in frames.chunks(BATCH) {
                    self.write(socket, frames.iter().cloned()).await?;
                }
                Ok(())
            }
            Err(refusal) => {
                self.app.meters.refused(refusal.code);
                self.write(socket, [refusal.frame()]).await
            }
        }
    }

    /// When there is something to do though nothing happens.
    fn next_time(&self) -> Instant {
        let silent = self.heard_at + self.app.pong_wait();
        let expires = self.identity.map(|identity| identity.expires_at);
        let first = silent.min(self.ping_at);
        expires.map_or(first, |expires| first.min(expires))
    }

    async fn on_time(&mut self, socket: &mut impl Socket) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.heard_at + self.app.pong_wait() {
            return Err(End::Gone);
        }
        if self.identity.is_some_and(|identity| now >= identity.expires_at) {
            self.sign_out();
            let message = "the token has expired: send user:subscribe with a new one";
            let refusal = Refusal::new("TOKEN_EXPIRED", message);
            if !self.app.config.allow_anonymous {
                return Err(self.refused(refusal, code::POLICY));
            }
            self.app.meters.refused(refusal.code);
            self.write(socket, [refusal.frame()]).await?;
        }
        if now >= self.ping_at {
            self.ping_at = now + self.app.ping_period();
            self.put(socket, std::iter::once(Message::Ping(Bytes::new()))).await?;
        }
        Ok(())
    }

    fn sign_in(&mut self, claims: &Claims) {
        self.sign_out();
        let lasts = claims.expires_at.since(self.app.clock.now());
        let expires_at = Instant::now() + lasts;
        self.identity = Some(Identity { account: claims.account, expires_at });
        self.app.meters.anonymous.dec();
        self.app.meters.authenticated.inc();
    }

    /// From here on the connection belongs to nobody in particular.
    fn sign_out(&mut self) {
        if let Some(identity) = self.identity.take() {
            self.leave(Room::User(identity.account));
            self.app.meters.authenticated.dec();
            self.app.meters.anonymous.inc();
        }
    }

    fn member(&self) -> Member {
        Member { number: self.number, frames: self.frames.clone(), ended: self.ended.clone() }
    }

    fn why_ended(&self) -> End {
        if self.app.tasks.stopping().is_cancelled() { End::Stopping } else { self.slow() }
    }

    fn slow(&self) -> End {
        self.app.meters.slow_clients.inc();
        End::Slow
    }

    fn refused(&self, refusal: Refusal, code: u16) -> End {
        self.app.meters.refused(refusal.code);
        End::Refused(refusal, code)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = self.app.clock.now();
        self.rooms.iter().for_each(|room| self.app.hub.leave(*room, self.number, now));
        let meters = &self.app.meters;
        meters.connections.dec();
        if self.identity.is_some() { &meters.authenticated } else { &meters.anonymous }.dec();
    }
}

/// Tells the client why, and waits a moment for its good-bye: a socket that is dropped at once may
/// lose what was just written.
async fn part(mut socket: impl Socket, end: End) {
    let (refusal, close) = match end {
        End::Gone => return,
        End::Left => (None, None),
        End::Stopping => (None, Some((code::RESTART, "the service restarts"))),
        End::Slow => {
            let message = "too slow: connect again, and join with the last seq of each room";
            let refusal = Refusal::new("SLOW_CLIENT", message);
            (Some(refusal), Some((code::TRY_AGAIN, "slow client")))
        }
        End::Refused(refusal, code) => {
            let reason = refusal.code;
            (Some(refusal), Some((code, reason)))
        }
    };
    let farewell = async {
        if let Some(refusal) = refusal {
            socket.feed(Message::Text(refusal.frame())).await?;
        }
        if let Some((code, reason)) = close {
            let reason = Utf8Bytes::from_static(reason);
            socket.feed(Message::Close(Some(CloseFrame { code, reason }))).await?;
        }
        socket.flush().await?;
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, axum::Error>(())
    };
    // Whoever does not say good-bye in time is left without.
    let _ = timeout(CLOSE_LIMIT, farewell).await;
}
