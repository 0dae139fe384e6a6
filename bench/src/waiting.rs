//! Memory of places in the waiting queue: in this process, and in Redis. As booking-worker keeps
//! them: a line an event, a member an account, nothing else said by those who only wait.

use std::{fs, sync::Arc, time::Duration};

use clap::Args;
use db::{Db, Settings};
use futures_util::{StreamExt, TryStreamExt, stream};
use infra::RedisOptions;
use kernel::{AccountId, Clock, EventId, Secret, SystemClock};
use platform::{
    Tasks,
    kv::{Kv, Queue, RedisSettings},
};
use testkit::SeededIds;
use tokio::{task::block_in_place, time::Instant};

use crate::{Bench, Failure};

#[derive(Args, Clone, Copy)]
pub(crate) struct WaitingArgs {
    /// How many places
    #[arg(long, default_value_t = 1_000_000)]
    places: u32,
}

/// As many join at once as it takes to keep the writer, or Redis, busy.
const AT_ONCE: usize = 512;
const STOP_TIME: Duration = Duration::from_secs(5);

/// Fills a line on each engine, and prints what a place takes.
pub(crate) async fn run(bench: &Bench<'_>, args: WaitingArgs) -> Result<(), Failure> {
    println!("### {} places that wait in one line\n", args.places);
    println!("| queue | bytes a place | joins/s, {AT_ONCE} at once |\n|---|--:|--:|");
    let db =
        Db::open(&Settings::new(format!("sqlite:{}", bench.directory.join("kv.sqlite").display())))
            .await?;
    let kv = Kv::memory(db.clone(), Arc::new(SystemClock)).await?;
    let before = own_bytes()?;
    let rate = fill(&kv.queue(), args.places).await?;
    let bytes = own_bytes()?.saturating_sub(before);
    tell("in the process", bytes, rate, args.places);
    drop(kv);
    db.close().await;

    // It starts a process, and waits for it.
    let server = block_in_place(|| infra::Redis::start(&RedisOptions::default()))?;
    let tasks = Tasks::new();
    let url = Secret::new(server.url());
    let kv = Kv::redis(&RedisSettings { url, namespace: String::new() }, &tasks).await?;
    let before = redis_bytes(&server.url()).await?;
    let rate = fill(&kv.queue(), args.places).await?;
    let bytes = redis_bytes(&server.url()).await?.saturating_sub(before);
    tell("Redis", bytes, rate, args.places);
    println!();
    tasks.stop(STOP_TIME).await;
    block_in_place(|| drop(server));
    Ok(())
}

fn tell(what: &str, bytes: u64, rate: f64, places: u32) {
    println!("| {what} | **{:.0}** | {rate:.0} |", bytes as f64 / f64::from(places));
}

/// Lets so many members join one line, and looks whether all are there; how many joined a second.
async fn fill(queue: &Queue, places: u32) -> Result<f64, Failure> {
    let now = SystemClock.now();
    let ids = SeededIds::new(now.micros().unsigned_abs());
    let line = EventId::new(&ids, now).to_string();
    let began = Instant::now();
    let members = stream::iter((0..places).map(|_| AccountId::new(&ids, now).to_string()));
    let joins = members.map(|member| {
        let line = &line;
        async move { queue.join(line, &member, "", u64::from(places)).await }
    });
    joins.buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
    let rate = f64::from(places) / began.elapsed().as_secs_f64();
    let waiting = queue.head(&line).await?.waiting;
    if waiting == u64::from(places) {
        return Ok(rate);
    }
    Err(format!("{waiting} of {places} places wait").into())
}

/// What this process keeps in memory that no file backs.
fn own_bytes() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).ok_or("no RssAnon")?;
    Ok(kib.parse::<u64>()? * 1_024)
}

/// What Redis has allocated.
async fn redis_bytes(url: &str) -> Result<u64, Failure> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(line.ok_or("no used_memory")?.trim().parse()?)
}
