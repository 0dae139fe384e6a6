//! The servers that a deployment stands on, private to whoever starts them: PostgreSQL with a
//! streaming replica, PgBouncer, Redis, Kafka. Found or installed, each on free ports of the
//! loopback interface, in a directory of its own, as an ordinary user; gone however the process
//! that started it ends, or [kept](Keep) until it is removed. Everything here blocks. Never a
//! server of the machine is touched, nor a process that was not started here.

mod account;
mod failure;
mod guard;
mod install;
mod kafka;
mod kind;
mod pgbouncer;
mod place;
mod postgres;
mod probe;
mod process;
mod redis;
mod server;
mod wait;

pub use account::is_root;
pub use failure::Failure;
pub use guard::Guard;
pub use install::{bolt, valgrind};
pub use kafka::{Kafka, KafkaOptions};
pub use kind::Kind;
pub use pgbouncer::PgBouncer;
pub use place::{Keep, free_port, random_hex};
pub use postgres::{Postgres, PostgresOptions, Replica, Tls};
pub use process::{living_in, signal};
pub use redis::{Fsync, Redis, RedisOptions};
pub use server::{Server, clear};
pub use wait::{Waited, until};
