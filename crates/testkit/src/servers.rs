//! The Redis and the Kafka that all tests of a process share: those that `cargo xtask test` names,
//! or else private ones, which end with the process. Tests keep apart by a namespace of their own.

use std::sync::OnceLock;

use infra::{Kafka, KafkaOptions, Redis, RedisOptions};

/// The url of a Redis: what `BOXOFFICE_TEST_REDIS` says, or a private one's.
#[must_use]
pub fn redis_url() -> String {
    static OWN: OnceLock<Redis> = OnceLock::new();
    let start = || Redis::start(&RedisOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    named("BOXOFFICE_TEST_REDIS").unwrap_or_else(|| OWN.get_or_init(start).url())
}

/// The brokers of a Kafka, as `bootstrap.servers` takes them: what `BOXOFFICE_TEST_KAFKA` says, or
/// a private one's, which takes some seconds to start.
#[must_use]
pub fn kafka_brokers() -> String {
    static OWN: OnceLock<Kafka> = OnceLock::new();
    let start = || Kafka::start(&KafkaOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    named("BOXOFFICE_TEST_KAFKA").unwrap_or_else(|| OWN.get_or_init(start).brokers())
}

/// What the environment says, if anything.
#[expect(clippy::disallowed_methods, reason = "a test process is configured by its environment")]
pub(crate) fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}
