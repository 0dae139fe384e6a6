//! The key-value parts that all processes of a deployment share, in Redis: small atomic scripts by
//! Redis' own clock.

mod cache;
mod channels;
mod limits;
mod link;
mod locks;
pub(super) mod queue;

use std::sync::Arc;

use kernel::{Code, Failure, Secret};
use redis::cmd;

use super::queue::Queue;
use crate::Tasks;
use cache::Cache;
use channels::Channels;
use limits::Limits;
use link::{AGAIN, Link};
use locks::Locks;

/// The oldest Redis that will do.
const OLDEST_VERSION: u32 = 7;

/// Where the Redis is that the processes of one deployment share.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Such as `redis://user:password@host:6379/0`, or `redis+unix:///path/of/its/socket`.
    pub url: Secret<String>,
    /// What every key and channel begins with; empty where a deployment has Redis to itself.
    pub namespace: String,
}

pub(super) struct Redis {
    pub(super) cache: Cache,
    pub(super) locks: Locks,
    pub(super) limits: Limits,
    pub(super) channels: Channels,
    pub(super) queue: Queue,
    link: Link,
}

impl Redis {
    pub(super) async fn open(settings: &RedisSettings, tasks: &Tasks) -> Result<Self, Failure> {
        let client = link::client(&settings.url)?;
        let link = Link::open(client.clone()).await?;
        check(&link.ask::<String>(&cmd("INFO"), AGAIN).await?)?;
        let namespace: Arc<str> = settings.namespace.as_str().into();
        Ok(Self {
            cache: Cache::new(link.clone(), namespace.clone()),
            locks: Locks::new(link.clone(), namespace.clone()),
            limits: Limits::start(link.clone(), namespace.clone(), tasks),
            channels: Channels::start(client, link.clone(), namespace.clone(), tasks),
            queue: Queue::redis(queue::Queue::new(link.clone(), &namespace)),
            link,
        })
    }

    pub(super) async fn ping(&self) -> Result<(), Failure> {
        self.link.ask(&cmd("PING"), AGAIN).await
    }
}

/// Refuses a Redis that could lose places of the waiting queue while it runs, or by a restart.
fn check(info: &str) -> Result<(), Failure> {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        fields.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    };
    let refused = |detail: String| Err(Failure::new(Code::Invalid, "REDIS_UNFIT", detail));
    let version = field("redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_VERSION) {
        return refused(format!("redis is {version:?}, and has to be {OLDEST_VERSION} or later"));
    }
    if field("aof_enabled") != "1" {
        let why = "redis has no append-only file, so that a restart would lose the waiting queue";
        return refused(format!("{why}; set appendonly yes"));
    }
    let policy = field("maxmemory_policy");
    if policy != "noeviction" {
        let why = "so that redis would drop places of the waiting queue when memory is short";
        return refused(format!("maxmemory-policy is {policy:?}, {why}; set noeviction"));
    }
    Ok(())
}
