//! What tests share and nothing ships: a database a test on both engines, a Redis, a Kafka, a
//! clock that is driven, ids from a seed. Where something is missing, it panics and says how to get
//! it; it never skips.
#![expect(
    clippy::panic,
    reason = "linked into tests only, where a panic with its message is the failure"
)]

mod clock;
mod database;
mod ids;
mod servers;

pub use clock::ManualClock;
pub use database::{TestDb, databases, fresh_postgres_url, postgres, sqlite};
pub use ids::SeededIds;
pub use servers::{kafka_brokers, redis_url};
