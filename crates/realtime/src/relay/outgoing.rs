//! What events lead to, on its way to the channel between replicas: posts that meet share one
//! message, as a message costs a round trip and a rush has thousands of them a second.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use kernel::Failure;
use tokio::sync::{mpsc, oneshot};

use super::{CHANNEL, Post, encode};
use crate::app::App;

/// The most posts of a message.
const MAX_BATCH: usize = 256;
/// The most posts that wait; whoever has more waits with them.
const MAX_WAITING: usize = 4_096;
/// Stands between the posts of a message. JSON can't hold it.
pub(super) const SEPARATOR: char = '\u{1e}';

type Answer = oneshot::Sender<Result<(), Failure>>;
type Waiting = (Post, Option<Answer>);

/// Posts that wait for their message.
pub(crate) struct Outgoing {
    sender: mpsc::Sender<Waiting>,
    receiver: Mutex<Option<mpsc::Receiver<Waiting>>>,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// Sends a message to its room on all replicas, together with others.
    pub(crate) async fn publish(&self, post: Post) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        self.enqueue((post, Some(answer))).await?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// As [`Outgoing::publish`], but doesn't wait: the changes of a hot event's places come one
    /// after the other, and would each wait for a round trip. If the channel fails, everybody is
    /// told to refetch once it is back.
    pub(crate) async fn pass_on(&self, post: Post) -> Result<(), Failure> {
        self.enqueue((post, None)).await
    }

    async fn enqueue(&self, waiting: Waiting) -> Result<(), Failure> {
        self.sender.send(waiting).await.map_err(|_| stopped())
    }
}

/// Publishes what waits, message after message, until the service stops and nothing waits.
pub(super) async fn publish_all(app: &App) {
    let receiver = &app.outgoing.receiver;
    let taken = receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut receiver) = taken else { return };
    let stopping = app.tasks.stopping();
    let mut batch: Vec<Waiting> = Vec::new();
    loop {
        tokio::select! {
            count = receiver.recv_many(&mut batch, MAX_BATCH) => if count == 0 { return },
            // What waits is still received.
            () = stopping.cancelled(), if !receiver.is_closed() => {
                receiver.close();
                continue;
            }
        }
        let (posts, answers): (Vec<Post>, Vec<_>) = batch.drain(..).unzip();
        app.meters.published.inc_by(posts.len().try_into().unwrap_or(u64::MAX));
        let published = app.kv.publish(CHANNEL, message(&posts)).await;
        if let Err(failure) = &published {
            tracing::warn!(posts = posts.len(), %failure, "not told to the other replicas");
        }
        for answer in answers.into_iter().flatten() {
            // Whoever gave up has its event again.
            let _gone = answer.send(published.clone());
        }
    }
}

/// The message that carries these posts.
fn message(posts: &[Post]) -> Bytes {
    let mut text = String::new();
    for post in posts {
        if !text.is_empty() {
            text.push(SEPARATOR);
        }
        encode(post, &mut text);
    }
    text.into()
}

fn stopped() -> Failure {
    Failure::unavailable("realtime stops")
}
