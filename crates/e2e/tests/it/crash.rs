//! `kill -9` at random moments of a running load, and an audit of everything afterwards; with twins
//! that take a guard away, and the audit's own test, so that none of it can pass by accident.

mod audit;
mod facts;
mod journal;
mod load;
mod plants;
mod platform;
mod stage;
mod web;

use std::{sync::Arc, time::Duration};

use testkit::SeededIds;
use tokio::time::{Instant, sleep};

use self::{
    audit::{audit, unsettled},
    facts::Facts,
    journal::Entries,
    load::{Load, World},
    platform::Platform,
    web::Web,
};

/// What makes a small platform fast and forgetful enough for a test: short holds and leases, and
/// limits that let one address be many buyers.
const VALUES: &[(&str, &str)] = &[
    ("auth.argon2_memory_kib", "64"),
    ("auth.argon2_passes", "1"),
    ("gateway.visitor_burst", "100000"),
    ("gateway.visitor_per_minute", "100000"),
    ("gateway.account_burst", "100000"),
    ("gateway.account_per_minute", "100000"),
    ("gateway.sign_in_burst", "100000"),
    ("gateway.sign_in_per_minute", "100000"),
    ("booking.hold_ttl_seconds", "10"),
    ("booking.call_timeout_seconds", "2"),
    ("booking.lease_seconds", "8"),
    ("booking.wait_seconds", "1"),
    ("booking.resume_period_ms", "100"),
    ("booking.retry_first_ms", "50"),
    ("booking.retry_limit_seconds", "1"),
    ("ticket.expiry_period_ms", "200"),
    ("payment.lease_seconds", "2"),
    ("payment.reconcile_after_seconds", "3"),
    ("payment.reconcile_at_most_seconds", "6"),
    ("payment.due_period_ms", "200"),
    ("email-worker.lease_seconds", "5"),
    ("booking-worker.booking_timeout_seconds", "2"),
    ("booking-worker.lease_seconds", "5"),
    ("log.filter", "error"),
];

/// The most milliseconds that a platform lives once it is ready, and one that may grow old.
const LIFE_MS: u64 = 600;
const LONG_LIFE_MS: u64 = 2_500;
/// One platform in so many grows old, and one start in so many is killed before it is ready.
const OLD: u64 = 8;
const EARLY: u64 = 8;
/// What the first start puts on sale.
const DEMO_EVENTS: usize = 3;
const POLL: Duration = Duration::from_millis(300);

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
        let directory = tempfile::tempdir().unwrap();
        let values = [VALUES, self.values].concat();
        let mut platform = Platform::new(directory.path(), &values);
        platform.first_start(&SeededIds::new(self.seed)).await;
        let web = Arc::new(Web::new(platform.face(), self.patience));
        let world = World::new(web.clone(), stage::set(&platform, &web).await, self.seed);
        let began = Instant::now();
        let load = Load::start(&world);
        for kill in 0..self.kills {
            world.progress(kill, self.kills);
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
        self.come_to_rest(&platform).await;
        world.ask_again().await;
        platform.stop().await;

        let facts = Facts::read(&platform.state()).await;
        let entries = world.journal.entries().clone();
        let mut violations = [web.unanswered(), audit(&facts, &entries)].concat();
        let events = world.stage.halls.len() + world.stage.queues.len() + DEMO_EVENTS;
        if facts.tallies.len() != events {
            violations.push(format!("{} events are on sale, not {events}", facts.tallies.len()));
        }
        report(&facts, &entries, began.elapsed());
        if !violations.is_empty() {
            println!("{} violations:\n{}", violations.len(), violations.join("\n"));
            println!("{}", platform.log());
        }
        Outcome { directory, entries, violations }
    }

    /// Waits until nothing is left undone, or the time for it is over: the audit says what is left.
    async fn come_to_rest(&self, platform: &Platform) {
        let give_up = Instant::now() + self.patience;
        loop {
            let left = unsettled(&Facts::read(&platform.state()).await);
            if left.is_empty() || Instant::now() > give_up {
                return;
            }
            sleep(POLL).await;
        }
    }
}

fn report(facts: &Facts, entries: &Entries, took: Duration) {
    let status = |name: &str| facts.bookings.iter().filter(|its| its.status == name).count();
    println!(
        "{} bookings asked for in {took:?}: {} confirmed, {} cancelled, {} expired, {} failed; \
         {} tickets, {} refunds, {} places in queues, {} events, {} mails",
        entries.wishes.len(),
        status("CONFIRMED"),
        status("CANCELLED"),
        status("EXPIRED"),
        status("FAILED"),
        facts.tickets.len(),
        facts.provider_refunds.len(),
        entries.places.len(),
        facts.events.len(),
        facts.mails.len(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_platform_is_killed_fifty_times_under_load() {
    let run = Run { seed: 20_260_731, kills: 50, values: &[], patience: Duration::from_secs(45) };
    let mut outcome = run.go().await;
    if !outcome.violations.is_empty() {
        outcome.directory.disable_cleanup(true);
        panic!("{:?} is wrong in {}", outcome.violations, outcome.directory.path().display());
    }
    plants::each_is_found(&outcome.directory.path().join("data"), &outcome.entries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leases_that_end_what_a_kill_interrupts_stays_unfinished() {
    let values = &[("booking.lease_seconds", "3600")];
    let run = Run { seed: 1, kills: 8, values, patience: Duration::from_secs(5) };
    let outcome = run.go().await;
    let unfinished = outcome.violations.iter().filter(|words| words.contains("unfinished"));
    assert!(unfinished.count() > 0, "nobody missed the guard: {:?}", outcome.violations);
}
