//! The key-value parts in Redis keep their promises: those that all implementations make, those
//! between processes (each is a handle here), and those about a Redis that goes away.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use ::redis::{FromRedisValue, aio::MultiplexedConnection};
use bytes::Bytes;
use futures_util::future::join_all;
use infra::{Fsync, RedisOptions};
use kernel::{Code, Failure, Secret};
use tokio::{
    task::block_in_place,
    time::{Instant, timeout},
};

use super::conformance::{self, Subject};
use crate::{
    Tasks,
    kv::{Kv, Rate, Received, RedisSettings},
};

const LONG: Duration = Duration::from_secs(60);
/// Longer than anything is allowed to take.
const AT_MOST: Duration = Duration::from_secs(30);

/// A part of a Redis that nobody else uses.
struct Shared {
    settings: RedisSettings,
    tasks: Tasks,
}

impl Shared {
    fn new() -> Self {
        Self::on(&testkit::redis_url())
    }

    fn on(url: &str) -> Self {
        let namespace = format!("{}-", infra::random_hex(8).unwrap());
        let settings = RedisSettings { url: Secret::new(url.to_owned()), namespace };
        Self { settings, tasks: Tasks::new() }
    }

    async fn try_open(&self) -> Result<Kv, Failure> {
        Kv::redis(&self.settings, &self.tasks).await
    }

    async fn connection(&self) -> MultiplexedConnection {
        let client = ::redis::Client::open(self.settings.url.expose().as_str()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The time since the epoch, as Redis has it.
    async fn redis_time(&self) -> Duration {
        let (seconds, micros): (u64, u64) = self.ask("TIME").await;
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    }

    /// What Redis answers to a command in words.
    async fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = ::redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.connection().await).await.unwrap()
    }
}

impl Subject for Shared {
    async fn open(&self) -> Kv {
        self.try_open().await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        // Redis has a clock of its own, which nobody drives, which may go slower than ours, and of
        // which it only sees whole milliseconds.
        let until = self.redis_time().await + time + Duration::from_millis(1);
        while let Some(left) = until.checked_sub(self.redis_time().await) {
            tokio::time::sleep(left.max(Duration::from_millis(1))).await;
        }
    }
}

macro_rules! conforms {
    ($($name:ident => $part:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            conformance::$part(&Shared::new()).await;
        }
    )*};
}

conformance::promises!(conforms);

#[tokio::test]
async fn processes_share_limits_and_locks() {
    let shared = Shared::new();
    let (a, b) = (shared.open().await, shared.open().await);
    let rate = Rate { burst: 10, interval: LONG };
    let allowed = async |a: &Kv, b: &Kv| {
        let asks = (0..20).map(|ask| if ask % 2 == 0 { a } else { b }.limit("k", rate));
        let asked = join_all(asks).await;
        asked.into_iter().filter(|its| its.as_ref().unwrap().allowed).count()
    };
    assert_eq!(allowed(&a, &b).await, 10);
    let elsewhere = Shared::new().open().await;
    assert_eq!(allowed(&elsewhere, &b).await, 10, "another deployment has its own");

    let held = a.lock("l", LONG).await.unwrap().unwrap();
    assert_eq!(b.lock("l", LONG).await.unwrap(), None);
    assert!(elsewhere.lock("l", LONG).await.unwrap().is_some());
    let forged = crate::kv::Lock { fence: held.fence + 1, ..held.clone() };
    b.unlock(&forged).await.unwrap();
    assert!(!b.renew(&forged, LONG).await.unwrap());
    assert_eq!(b.lock("l", LONG).await.unwrap(), None);
    b.unlock(&held).await.unwrap();
    assert!(b.lock("l", LONG).await.unwrap().unwrap().fence > held.fence);
}

#[tokio::test]
async fn what_another_process_forgot_is_not_kept_and_all_else_is() {
    let shared = Shared::new();
    let (a, b) = (shared.open().await, shared.open().await);
    let loads = AtomicU32::new(0);
    let load = || async {
        let number = loads.fetch_add(1, Ordering::SeqCst);
        Ok(Bytes::from(format!("v{number}")))
    };
    assert_eq!(a.cached("k", LONG, load).await.unwrap(), "v0");
    assert_eq!(b.cached("k", LONG, load).await.unwrap(), "v0");
    b.forget("k").await.unwrap();
    let overtaken = || async {
        let old = load().await;
        b.forget("k").await?;
        old
    };
    // Who waits for a load that was overtaken does not get it.
    let waiting = async {
        while loads.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        a.cached("k", LONG, load).await
    };
    let (old, new) = tokio::join!(a.cached("k", LONG, overtaken), waiting);
    assert_eq!((old.unwrap(), new.unwrap()), ("v1".into(), "v2".into()));
    assert_eq!(b.cached("k", LONG, load).await.unwrap(), "v2");
}

#[tokio::test]
async fn processes_claim_each_place_once_and_hear_each_other() {
    let shared = Shared::new();
    let (a, b) = (shared.open().await, shared.open().await);
    let (one, two) = (a.queue(), b.queue());
    // More than one block, with gaps.
    let members: Vec<String> = (0..600).map(|member| member.to_string()).collect();
    for member in &members {
        one.join("l", member, "", u64::MAX).await.unwrap();
    }
    for member in &members[100..500] {
        assert!(two.leave("l", member).await.unwrap());
    }
    let claims = (0..40).map(|turn| {
        let queue = if turn % 2 == 0 { &one } else { &two };
        queue.claim("l", 7, LONG)
    });
    let claimed: Vec<u64> = join_all(claims)
        .await
        .into_iter()
        .flat_map(|items| items.unwrap().into_iter().map(|item| item.number))
        .collect();
    let once: BTreeSet<u64> = claimed.iter().copied().collect();
    assert_eq!((claimed.len(), once), (200, (1..=100).chain(501..=600).collect()));
    assert_eq!(one.acknowledge("l", &claimed).await.unwrap(), 200);
    // An empty line leaves nothing but its head.
    let keys: Vec<String> = shared.ask(&format!("KEYS {}*", shared.settings.namespace)).await;
    let head = format!("{}queue:{{l}}:head", shared.settings.namespace);
    assert_eq!(keys, [head]);

    let mut heard = b.subscribe("c").await.unwrap();
    a.publish("c", "from a".into()).await.unwrap();
    assert_eq!(heard.next().await, Some(Received::Message("from a".into())));
    // When the last subscriber has gone Redis is told, and only then.
    let listeners = format!("PUBSUB NUMSUB {}c", shared.settings.namespace);
    let count = async || shared.ask::<(String, u32)>(&listeners).await.1;
    let second = b.subscribe("c").await.unwrap();
    drop(heard);
    b.subscribe("other").await.unwrap();
    assert_eq!(count().await, 1);
    drop(second);
    let told = async { while count().await > 0 {} };
    timeout(AT_MOST, told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_loses_nothing_and_is_told() {
    let options = RedisOptions { fsync: Fsync::Always, ..RedisOptions::default() };
    let server = block_in_place(|| infra::Redis::start(&options)).unwrap();
    let shared = Shared::on(&server.url());
    let (kv, other) = (shared.open().await, shared.open().await);
    let queue = kv.queue();
    for member in ["a", "b", "c"] {
        queue.join("l", member, "wish", 9).await.unwrap();
    }
    queue.configure("l", "slow").await.unwrap();
    assert_eq!(queue.claim("l", 1, LONG).await.unwrap().len(), 1);
    let (place, head) = (queue.place("l", "b").await, queue.head("l").await.unwrap());
    let lock = kv.lock("k", LONG).await.unwrap().unwrap();
    let mut heard = kv.subscribe("c").await.unwrap();

    block_in_place(|| server.kill()).unwrap();
    let begun = Instant::now();
    let failed = queue.head("l").await.unwrap_err();
    assert_eq!(failed.code, Code::Unavailable, "{failed:?}");
    assert_eq!(kv.ping().await.unwrap_err().code, Code::Unavailable);
    // What can be done without is done without.
    let load = || async { Ok(Bytes::from_static(b"loaded")) };
    assert_eq!(kv.cached("k", LONG, load).await.unwrap(), "loaded");
    let rate = Rate { burst: 1, interval: LONG };
    assert!(kv.limit("k", rate).await.unwrap().allowed);
    assert!(!kv.limit("k", rate).await.unwrap().allowed, "each process keeps its own limits");
    assert_eq!(kv.subscribe("d").await.err().unwrap().code, Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    block_in_place(|| server.start_again()).unwrap();

    // What may be repeated succeeds at once, on whatever connection.
    assert_eq!(queue.head("l").await.unwrap(), head);
    kv.ping().await.unwrap();
    assert_eq!(queue.place("l", "b").await, place);
    assert!(queue.place("l", "a").await.unwrap().unwrap().claimed);
    assert_eq!(queue.settings("l").await.unwrap().as_deref(), Some("slow"));
    assert_eq!(queue.join("l", "d", "", 9).await.unwrap().0.number, 4);
    assert_eq!(queue.claim("l", 9, LONG).await.unwrap().len(), 3);
    assert_eq!(kv.lock("k", LONG).await.unwrap(), None, "a lock outlives a restart");
    // Whoever listens is told that something is missing, and hears again.
    let missed = timeout(AT_MOST, heard.next()).await.unwrap();
    assert!(matches!(missed, Some(Received::Missed(1..))), "{missed:?}");
    other.publish("c", "again".into()).await.unwrap();
    let message = timeout(AT_MOST, heard.next()).await.unwrap();
    assert_eq!(message, Some(Received::Message("again".into())));

    // Redis loses all that it has: fences grow all the same.
    shared.ask::<()>("FLUSHALL").await;
    assert!(kv.lock("k", LONG).await.unwrap().unwrap().fence > lock.fence);
    assert_eq!(queue.join("l", "a", "", 9).await.unwrap().0.number, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_hangs_nobody() {
    let server = block_in_place(|| infra::Redis::start(&RedisOptions::default())).unwrap();
    let shared = Shared::on(&server.url());
    let kv = shared.open().await;
    let queue = kv.queue();
    let mut heard = kv.subscribe("c").await.unwrap();
    block_in_place(|| server.pause()).unwrap();
    let begun = Instant::now();
    // More than are counted at once: those that wait behind the first don't wait for as long again.
    let rate = Rate { burst: 1, interval: LONG };
    let limits = join_all((0..4_000).map(|_| kv.limit("k", rate)));
    let (joined, claimed, limits) =
        tokio::join!(queue.join("l", "a", "", 9), queue.claim("l", 1, LONG), limits);
    assert_eq!(joined.unwrap_err().code, Code::Unavailable);
    assert_eq!(claimed.unwrap_err().code, Code::Unavailable);
    let allowed = limits.into_iter().filter(|limit| limit.as_ref().unwrap().allowed);
    assert_eq!(allowed.count(), 1, "this process counts alone");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    block_in_place(|| server.resume()).unwrap();
    // What it took in meanwhile happened, and happened once.
    let back = async { while kv.ping().await.is_err() {} };
    timeout(AT_MOST, back).await.unwrap();
    assert_eq!(queue.join("l", "a", "", 9).await.unwrap().0.number, 1);
    kv.publish("c", "again".into()).await.unwrap();
    let again = Received::Message("again".into());
    while timeout(AT_MOST, heard.next()).await.unwrap() != Some(again.clone()) {
        kv.publish("c", "again".into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_could_lose_places_is_refused() {
    let server = block_in_place(|| infra::Redis::start(&RedisOptions::default())).unwrap();
    let shared = Shared::on(&server.url());
    let refused = async |setting: &str| {
        shared.ask::<()>(&format!("CONFIG SET {setting}")).await;
        let failure = shared.try_open().await.err().unwrap();
        assert_eq!((failure.code, &*failure.reason), (Code::Invalid, "REDIS_UNFIT"));
        failure.detail
    };
    assert!(refused("appendonly no").await.contains("append-only"));
    shared.ask::<()>("CONFIG SET appendonly yes").await;
    assert!(refused("maxmemory-policy allkeys-lru").await.contains("noeviction"));
    shared.ask::<()>("CONFIG SET maxmemory-policy noeviction").await;
    let queue = shared.open().await.queue();

    // A place takes little: an account's id as the member, and no wish.
    let memory = async || {
        let fields: String = shared.ask("INFO memory").await;
        let line = fields.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
        line.unwrap().parse::<u64>().unwrap()
    };
    let join = async |member: u32| {
        let member = format!("018f0000-0000-7000-8000-{member:012}");
        queue.join("l", &member, "", u64::MAX).await.unwrap()
    };
    let places = 1_u32 << 14;
    join_all((0..100).map(join)).await;
    let before = memory().await;
    for first in (100..100 + places).step_by(1_024) {
        join_all((first..first + 1_024).map(join)).await;
    }
    let bytes = (memory().await - before) / u64::from(places);
    println!("{bytes} bytes a place");
    assert!(bytes < 200, "{bytes} bytes a place");
}
