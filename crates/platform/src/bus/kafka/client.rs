//! What all Kafka clients have in common: settings, logs, and calls that block.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kernel::Failure;
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult},
};
use tokio::time::Instant;

use super::KafkaSettings;

/// How long one request of an operator or of a start may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What a client says of lost connections is logged this often; the rest of it to debug.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// The settings of every client. A broker that comes back is found within a second.
pub(super) fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    for (name, value) in [
        ("bootstrap.servers", settings.brokers.as_str()),
        ("client.id", "boxoffice"),
        ("socket.keepalive.enable", "true"),
        ("socket.nagle.disable", "true"),
        ("socket.timeout.ms", "10000"),
        ("socket.connection.setup.timeout.ms", "5000"),
        ("reconnect.backoff.ms", "50"),
        ("reconnect.backoff.max.ms", "1000"),
        ("retry.backoff.ms", "50"),
        ("log.connection.close", "false"),
    ] {
        config.set(name, value);
    }
    config
}

/// Settings of a consumer for group `id`. What is done is committed by us alone.
pub(super) fn reader(settings: &KafkaSettings, id: &str) -> ClientConfig {
    let mut config = config(settings);
    for (name, value) in [
        ("group.id", id),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "earliest"),
        ("allow.auto.create.topics", "false"),
    ] {
        config.set(name, value);
    }
    config
}

/// Runs a call of the client that blocks its thread.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => result.map_err(down),
        Err(_) => Err(Failure::internal("the call to kafka panicked")),
    }
}

/// A failed call. Whatever it is, it says nothing of the events: all of it may be tried again.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn down(error: KafkaError) -> Failure {
    Failure::unavailable(format!("kafka: {error}"))
}

/// Hands what a client has to say to our logs.
#[derive(Default)]
pub(super) struct Logs(Mutex<Option<Instant>>);

impl Logs {
    /// Logs that a client is in trouble, but not each time.
    pub(super) fn warn(&self, facility: &str, text: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < LOG_PERIOD) {
            return tracing::debug!(facility, text, "kafka client");
        }
        *last = Some(Instant::now());
        tracing::warn!(facility, text, "kafka client");
    }
}

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, text, "kafka client");
            }
            _ => self.warn(facility, text),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.warn(&error.to_string(), reason);
    }
}
