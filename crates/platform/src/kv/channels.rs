//! Publish / subscribe in this process.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, Weak},
};

use bytes::Bytes;
use tokio::sync::{Notify, broadcast};

/// How many messages a subscriber may be behind before it misses some.
pub(super) const CAPACITY: usize = 4_096;

/// Messages of one channel, from the moment of subscribing.
pub struct Subscription {
    // Dropped first, so that `_leave` sees whether anybody is left.
    pub(super) receiver: broadcast::Receiver<Received>,
    pub(super) _leave: Leave,
}

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Bytes),
    /// The subscriber was too slow, or the connection was lost: this many messages (at least) are
    /// missing.
    Missed(u64),
}

/// The channels that have subscribers.
#[derive(Default)]
pub(super) struct Channels(RwLock<HashMap<Arc<str>, broadcast::Sender<Received>>>);

/// Removes a channel when its last subscriber is gone.
pub(super) enum Leave {
    Local {
        channels: Weak<Channels>,
        name: Arc<str>,
    },
    /// Wakes who tells the server that processes share.
    Shared(Arc<Notify>),
}

impl Subscription {
    /// The next message, in order. `None` when the store has been closed. Dropping the future
    /// loses no message.
    pub async fn next(&mut self) -> Option<Received> {
        match self.receiver.recv().await {
            Ok(received) => Some(received),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Received::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Channels {
    pub(super) fn publish(&self, name: &str, message: Bytes) {
        let channels = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(name) {
            // Fails only if the last subscriber is leaving.
            let _ = channel.send(Received::Message(message));
        }
    }

    pub(super) fn subscribe(self: &Arc<Self>, name: &str) -> Subscription {
        let name: Arc<str> = name.into();
        let mut channels = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let channel =
            channels.entry(name.clone()).or_insert_with(|| broadcast::Sender::new(CAPACITY));
        let receiver = channel.subscribe();
        let channels = Arc::downgrade(self);
        Subscription { receiver, _leave: Leave::Local { channels, name } }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let (channels, name) = match self {
            Self::Local { channels, name } => (channels, name),
            Self::Shared(left) => return left.notify_one(),
        };
        let Some(channels) = channels.upgrade() else { return };
        let mut channels = channels.0.write().unwrap_or_else(PoisonError::into_inner);
        if channels.get(name).is_some_and(|channel| channel.receiver_count() == 0) {
            channels.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_forgotten_with_its_last_subscriber() {
        let channels = Arc::new(Channels::default());
        let (first, second) = (channels.subscribe("a"), channels.subscribe("a"));
        drop(first);
        assert_eq!(channels.0.read().unwrap().len(), 1);
        drop(second);
        assert_eq!(channels.0.read().unwrap().len(), 0);
    }
}
