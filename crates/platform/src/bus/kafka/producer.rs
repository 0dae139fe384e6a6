//! Publishing: one idempotent producer, so that its own retries neither double nor reorder.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::try_join_all;
use kernel::Failure;
use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig},
};
use tokio::time::timeout;

use super::{
    KafkaSettings,
    client::{self, Logs, down},
};

/// How long publishing may take.
const LIMIT: Duration = Duration::from_secs(10);

type Client = FutureProducer<Logs>;

pub(super) struct Producer {
    config: ClientConfig,
    client: Mutex<(u64, Client)>,
}

impl Producer {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, Failure> {
        let mut config = client::config(settings);
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // As other Kafka clients do, so that a key has one partition whoever publishes.
            ("partitioner", "murmur2_random"),
            ("linger.ms", "2"),
            ("batch.num.messages", "10000"),
            ("request.timeout.ms", "5000"),
            ("queue.buffering.max.messages", "100000"),
            // Longer than we wait: it must not happen that of two events of a key the first has
            // run out of time and the second has not. We give up all at once.
            ("message.timeout.ms", "60000"),
        ] {
            config.set(name, value);
        }
        let client = Mutex::new((0, open(&config)?));
        Ok(Self { config, client })
    }

    /// Publishes messages in their order, and answers once all are acknowledged. After an error any
    /// of them may have been published; repeated in order, each first appearance is in order.
    pub(super) async fn send<'a>(
        &self,
        messages: impl IntoIterator<Item = FutureRecord<'a, str, str>>,
    ) -> Result<(), Failure> {
        let (generation, client) = {
            let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
            (client.0, client.1.clone())
        };
        let mut sent = Vec::new();
        let mut refused = None;
        for message in messages {
            match client.send_result(message) {
                Ok(delivery) => sent.push(delivery),
                Err((error, _)) => {
                    // Nothing behind it may go.
                    refused = Some(down(error));
                    break;
                }
            }
        }
        let acknowledged = try_join_all(sent.into_iter().map(|delivery| async move {
            match delivery.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => Err(down(error)),
                Err(_) => Err(Failure::unavailable("kafka: the producer was given up")),
            }
        }));
        let result = match timeout(LIMIT, acknowledged).await {
            Ok(result) => result.map(drop),
            Err(_) => Err(Failure::unavailable("kafka did not acknowledge in time")),
        };
        if result.is_err() {
            self.renew(generation)?;
        }
        refused.map_or(result, Err)
    }

    /// Gives up what is queued and on its way, that of other callers too, and begins anew: nothing
    /// of it may come after what is published next, in the order of its first appearance.
    fn renew(&self, generation: u64) -> Result<(), Failure> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.0 != generation {
            return Ok(());
        }
        let old = std::mem::replace(&mut *client, (generation + 1, open(&self.config)?));
        old.1.purge(PurgeConfig::default().queue().inflight());
        // Waits for its thread.
        drop(tokio::task::spawn_blocking(move || drop(old)));
        Ok(())
    }
}

fn open(config: &ClientConfig) -> Result<Client, Failure> {
    FutureProducer::from_config_and_context(config, Logs::default()).map_err(down)
}
