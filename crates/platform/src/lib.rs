#![doc = include_str!("../README.md")]

pub mod bus;
pub mod config;
mod database_metrics;
mod housekeeping;
pub mod http;
pub mod idempotency;
pub mod inbox;
pub mod kv;
mod metrics;
pub mod outbox;
mod randomness;
mod tasks;
pub mod telemetry;
pub mod tokens;
mod unit;
mod vault;

pub use housekeeping::housekeeping;
pub use metrics::Metrics;
pub use randomness::SystemIds;
pub use tasks::Tasks;
pub use unit::{Probe, Task, Unit};
pub use vault::Vault;

/// The tables that every service database has: outbox, inbox, idempotency records.
pub const MIGRATIONS: db::Migrations = db::Migrations {
    owner: "platform",
    postgres: &[
        db::Migration {
            name: "0001_platform",
            sql: include_str!("../migrations/postgres/0001_platform.sql"),
        },
        db::Migration {
            name: "0002_outbox_batches",
            sql: include_str!("../migrations/postgres/0002_outbox_batches.sql"),
        },
    ],
    sqlite: &[
        db::Migration {
            name: "0001_platform",
            sql: include_str!("../migrations/sqlite/0001_platform.sql"),
        },
        db::Migration {
            name: "0002_outbox_batches",
            sql: include_str!("../migrations/sqlite/0002_outbox_batches.sql"),
        },
    ],
};
