//! Writes to the event log of brokers what nobody of ours would.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Puts `text` onto a topic. Blocks.
pub(super) fn plant(brokers: &str, topic: &str, text: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    producer.send(BaseRecord::to(topic).key("planted").payload(text)).unwrap();
    producer.flush(PATIENCE).unwrap();
}
