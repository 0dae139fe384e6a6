//! `kill -9` at random moments of a running load, and an audit of everything afterwards; with twins
//! that take a guard away, and the audit's own test, so that none of it can pass by accident.

mod platform;

use std::{sync::Arc, time::Duration};

use testkit::SeededIds;
use tokio::time::{Instant, sleep};

use self::platform::Platform;
use crate::{
    fleet,
    sale::{
        FORGETFUL, ROOMY, audit, come_to_rest,
        journal::Entries,
        load::{Load, Pace, World},
        plants, report, stage,
        stores::Stores,
        violations,
        web::Web,
    },
};

/// The most milliseconds that a platform lives once it is ready, and one that may grow old.
const LIFE_MS: u64 = 600;
const LONG_LIFE_MS: u64 = 2_500;
/// A life begins once clients are answered: on a machine with other things to do nothing would get
/// done in any, and each would only repeat what the one before began.
const ANSWERS: u64 = 12;
const AWAKE: Duration = Duration::from_secs(3);
/// One platform in so many grows old, and one start in so many is killed before it is ready.
const OLD: u64 = 8;
const EARLY: u64 = 8;
/// Who buys: the event log, in which the audit looks for all of it, has to keep all wishes.
const PACE: Pace = Pace { clients: 24, wishes_a_life: 24 };

/// A run: how often the platform is killed, with which settings, how long clients go on asking, and
/// how long everything may take to come to rest.
struct Run {
    seed: u64,
    kills: usize,
    values: &'static [(&'static str, &'static str)],
    patience: Duration,
}

/// What a run left behind.
struct Outcome {
    /// With all databases; kept for a look where something is wrong that should not be.
    directory: tempfile::TempDir,
    entries: Entries,
    violations: Vec<String>,
}

impl Run {
    /// Kills the platform again and again under load, lets it come to rest, and audits it.
    async fn go(&self) -> Outcome {
        let _turn = fleet::turn().await;
        let directory = tempfile::tempdir().unwrap();
        let values = [ROOMY, FORGETFUL, self.values].concat();
        let mut platform = Platform::new(directory.path(), &values);
        platform.first_start(&SeededIds::new(self.seed)).await;
        let web = Arc::new(Web::new(platform.face(), self.patience));
        let stage = stage::set(&web, platform.passwords()).await;
        let world = World::new(web.clone(), stage, (self.seed, PACE));
        let stores = Stores::Files(platform.state());
        let began = Instant::now();
        let load = Load::start(&world);
        for kill in 0..self.kills {
            world.progress(kill, self.kills);
            web.hears(ANSWERS, AWAKE).await;
            let longest = if world.dice.below(OLD) == 0 { LONG_LIFE_MS } else { LIFE_MS };
            sleep(Duration::from_millis(20 + world.dice.below(longest))).await;
            platform.kill().await;
            if world.dice.below(EARLY) == 0 {
                platform.spawn();
                sleep(Duration::from_millis(world.dice.below(LIFE_MS / 2))).await;
                platform.kill().await;
            }
            platform.start().await;
        }
        load.end().await;
        println!("killed {} times in {:?}; {} tries lost", self.kills, began.elapsed(), web.lost());
        world.ask_again().await;
        come_to_rest(&stores, self.patience).await;
        world.ask_again().await;
        platform.stop().await;

        let entries = world.journal.entries().clone();
        let seen = audit(&stores, &entries).await;
        let violations = [web.unanswered(), violations(&seen, &entries, &world.stage)].concat();
        report(&seen, &entries, began.elapsed());
        if !violations.is_empty() {
            println!("{} violations:\n{}", violations.len(), violations.join("\n"));
            println!("{}", platform.log());
        }
        Outcome { directory, entries, violations }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_platform_is_killed_fifty_times_under_load() {
    let run = Run { seed: 20_260_731, kills: 50, values: &[], patience: Duration::from_secs(45) };
    let mut outcome = run.go().await;
    if !outcome.violations.is_empty() {
        outcome.directory.disable_cleanup(true);
        panic!("{:?} is wrong in {}", outcome.violations, outcome.directory.path().display());
    }
    let state = outcome.directory.path().join("data");
    plants::each_is_found(&Stores::Files(state), &outcome.entries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leases_that_end_what_a_kill_interrupts_stays_unfinished() {
    let values = &[("booking.lease_seconds", "3600")];
    let run = Run { seed: 1, kills: 8, values, patience: Duration::from_secs(5) };
    let outcome = run.go().await;
    let unfinished = outcome.violations.iter().filter(|words| words.contains("unfinished"));
    assert!(unfinished.count() > 0, "nobody missed the guard: {:?}", outcome.violations);
}
