//! Publish / subscribe between processes: one connection listens for all subscribers of this one.
//! When it was lost they are told that messages are missing, once it is there again.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kernel::Failure;
use redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection, cmd,
};
use tokio::{
    sync::{Notify, broadcast, mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::link::{CONNECT_LIMIT, Link, ONCE, failure};
use crate::{
    Tasks,
    kv::{
        Received, Subscription,
        channels::{CAPACITY, Leave},
    },
};

/// The longest that subscribing takes, and that the listening connection may leave a question open.
const LIMIT: Duration = Duration::from_secs(2);
/// How often the listening connection is asked whether it still is one.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// The pause before connecting again; it doubles with each failure that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How many may wait to be subscribed; further callers wait outside.
const MAX_WAITING: usize = 256;

pub(in crate::kv) struct Channels {
    link: Link,
    namespace: Arc<str>,
    asks: mpsc::Sender<Ask>,
}

/// A request to subscribe.
struct Ask {
    channel: Arc<str>,
    reply: oneshot::Sender<Result<Subscription, Failure>>,
}

/// Holds the listening connection. It alone adds and removes channels, so that what Redis is told
/// last is what counts.
struct Listener {
    client: Client,
    channels: Arc<Known>,
    asks: mpsc::Receiver<Ask>,
    /// Somebody has gone; there may be nobody left.
    left: Arc<Notify>,
    stopping: CancellationToken,
}

/// The channels that have subscribers in this process, by their full names.
#[derive(Default)]
struct Known(Mutex<HashMap<Arc<str>, broadcast::Sender<Received>>>);

impl Channels {
    pub(super) fn start(client: Client, link: Link, namespace: Arc<str>, tasks: &Tasks) -> Self {
        let (asks, waiting) = mpsc::channel(MAX_WAITING);
        let listener = Listener {
            client,
            channels: Arc::default(),
            asks: waiting,
            left: Arc::default(),
            stopping: tasks.stopping(),
        };
        tasks.spawn("redis-channels", listener.run());
        Self { link, namespace, asks }
    }

    /// Not repeated: a message may be lost, and never comes twice.
    pub(in crate::kv) async fn publish(
        &self,
        channel: &str,
        message: &Bytes,
    ) -> Result<(), Failure> {
        let channel = format!("{}{channel}", self.namespace);
        self.link.ask(cmd("PUBLISH").arg(channel).arg(&**message), ONCE).await
    }

    pub(in crate::kv) async fn subscribe(&self, channel: &str) -> Result<Subscription, Failure> {
        let channel = format!("{}{channel}", self.namespace).into();
        let (reply, answer) = oneshot::channel();
        let closed = || Failure::unavailable("the channels are closed");
        let subscribing = async {
            self.asks.send(Ask { channel, reply }).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        let late = |_| Failure::unavailable(format!("redis did not answer within {LIMIT:?}"));
        timeout(LIMIT, subscribing).await.map_err(late)?
    }
}

impl Listener {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let lost = Arc::new(Notify::new());
            let next = match self.connect(&lost).await {
                Ok(connection) => {
                    pause = FIRST_PAUSE;
                    self.channels.tell_missed();
                    let next = self.listen(connection, &lost).await;
                    if next.is_continue() {
                        tracing::warn!("connection for channels lost");
                    }
                    next
                }
                Err(error) => {
                    let next = self.refuse(&failure(&error), pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    next
                }
            };
            if next.is_break() {
                break;
            }
        }
        // Subscriptions end.
        self.channels.known().clear();
    }

    /// A connection that listens to all known channels, and tells `lost` when it ends.
    async fn connect(&self, lost: &Arc<Notify>) -> Result<MultiplexedConnection, RedisError> {
        let (channels, lost) = (Arc::downgrade(&self.channels), lost.clone());
        let received = move |push: PushInfo| -> Result<(), ()> {
            match push.kind {
                PushKind::Message => channels.upgrade().ok_or(())?.deliver(push.data),
                PushKind::Disconnection => lost.notify_one(),
                _ => {}
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(LIMIT))
            .set_push_sender(received);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await?;
        self.channels.without_subscribers();
        let names: Vec<Arc<str>> = self.channels.known().keys().cloned().collect();
        if !names.is_empty() {
            connection.subscribe(names.iter().map(|name| &**name).collect::<Vec<_>>()).await?;
        }
        Ok(connection)
    }

    /// Subscribes and unsubscribes, until the connection is lost (go on) or no more is needed.
    async fn listen(
        &mut self,
        mut connection: MultiplexedConnection,
        lost: &Notify,
    ) -> ControlFlow<()> {
        let mut check = interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                () = self.stopping.cancelled() => return ControlFlow::Break(()),
                () = lost.notified() => return ControlFlow::Continue(()),
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.subscribe(&mut connection, ask).await,
                    None => return ControlFlow::Break(()),
                },
                () = self.left.notified() => {
                    match self.channels.without_subscribers() {
                        names if names.is_empty() => Ok(()),
                        names => connection.unsubscribe(names).await,
                    }
                }
                _ = check.tick() => cmd("PING").query_async(&mut connection).await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "connection for channels given up");
                return ControlFlow::Continue(());
            }
        }
    }

    async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        Ask { channel, reply }: Ask,
    ) -> Result<(), RedisError> {
        let (receiver, is_new) = self.channels.add(&channel);
        let subscription = Subscription { receiver, _leave: Leave::Shared(self.left.clone()) };
        let subscribed = match is_new {
            true => connection.subscribe(&*channel).await,
            false => Ok(()),
        };
        let answer = match &subscribed {
            Ok(()) => Ok(subscription),
            Err(error) => Err(failure(error)),
        };
        // The caller may have left; then its subscription does as well.
        let _ = reply.send(answer);
        subscribed
    }

    /// Waits before connecting again, and has nobody else wait for it.
    async fn refuse(&mut self, why: &Failure, pause: Duration) -> ControlFlow<()> {
        let mut over = std::pin::pin!(sleep(pause));
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return ControlFlow::Break(()),
                () = &mut over => return ControlFlow::Continue(()),
                ask = self.asks.recv() => match ask {
                    // The caller may have left.
                    Some(ask) => drop(ask.reply.send(Err(why.clone()))),
                    None => return ControlFlow::Break(()),
                },
            }
        }
    }
}

impl Known {
    /// A receiver of the channel, and whether Redis is to be told of the channel.
    fn add(&self, name: &Arc<str>) -> (broadcast::Receiver<Received>, bool) {
        let mut known = self.known();
        if let Some(channel) = known.get(name) {
            return (channel.subscribe(), false);
        }
        let (channel, receiver) = broadcast::channel(CAPACITY);
        known.insert(name.clone(), channel);
        (receiver, true)
    }

    /// Removes the channels that have no subscribers any more.
    fn without_subscribers(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.known().retain(|name, channel| {
            let stays = channel.receiver_count() > 0;
            if !stays {
                names.push(name.as_ref().to_owned());
            }
            stays
        });
        names
    }

    /// Hands on what a push has: the channel's name and the message.
    fn deliver(&self, data: Vec<Value>) {
        let Ok([Value::BulkString(name), Value::BulkString(message)]) =
            <[Value; 2]>::try_from(data)
        else {
            return;
        };
        let known = self.known();
        if let Some(channel) = std::str::from_utf8(&name).ok().and_then(|name| known.get(name)) {
            // Fails only if the last subscriber is leaving.
            let _ = channel.send(Received::Message(message.into()));
        }
    }

    /// Tells everybody that messages may be missing.
    fn tell_missed(&self) {
        for channel in self.known().values() {
            // Fails only if the last subscriber is leaving.
            let _ = channel.send(Received::Missed(1));
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, broadcast::Sender<Received>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
