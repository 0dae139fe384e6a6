//! The fault campaign: a steady load through both gateways of the distributed shape, while one
//! thing after another is killed, restarted, lost or cut off. After each, all that was begun
//! settles; in the end everything is audited.

mod settling;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use self::settling::Bookings;
use crate::{
    fleet::{Fleet, Parts, Size},
    sale::{
        FORGETFUL, ROOMY, audit, come_to_rest,
        load::{Load, Pace, World},
        plants, report, stage, violations,
        web::{Face, Web},
    },
};

/// Who buys. Two cores carry nineteen processes, their servers and the buyers.
const PACE: Pace = Pace { clients: 10, wishes_a_life: 30 };
/// How long clients go on asking, and how long everything may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after a fault has healed what was begun before may take to settle.
const SETTLED: Duration = Duration::from_secs(30);
/// How long a fault lasts.
const DOWN: Duration = Duration::from_millis(700);
/// The same where others have to notice, and where more is below.
const LONG_DOWN: Duration = Duration::from_secs(4);
const SEED: u64 = 20_261_122;

type Act = fn(&Parts) -> Result<(), infra::Failure>;

/// What is done to the platform.
enum Fault {
    /// `kill -9` of processes, started again after a moment.
    Kill(Vec<(&'static str, usize)>),
    /// A server goes, or hangs, and comes back after a time.
    Lose(&'static str, Duration, Act, Act),
    /// Processes hang, and go on.
    Pause(Vec<(&'static str, usize)>),
    /// Nothing gets through between booking and ticket.
    Cut,
}

/// Everything that can be done to it, one after another.
fn faults(fleet: &Fleet) -> Vec<Fault> {
    let of = |name: &str| -> Vec<_> {
        fleet.names().into_iter().filter(|(service, _)| *service == name).collect()
    };
    let mut all: Vec<_> = fleet.names().into_iter().map(|name| Fault::Kill(vec![name])).collect();
    all.push(Fault::Kill(of("booking")));
    let servers: [(_, _, Act, Act); 5] = [
        ("kill Redis", DOWN, |its| its.redis.kill(), |its| its.redis.start_again()),
        ("kill Kafka", DOWN, |its| its.kafka.kill(), |its| its.kafka.start_again()),
        ("kill the primary", DOWN, |its| its.postgres.kill(), |its| its.postgres.start_again()),
        ("kill the replica", LONG_DOWN, |its| its.replica.kill(), |its| its.replica.start_again()),
        ("pause the replica", LONG_DOWN, |its| its.replica.pause(), |its| its.replica.resume()),
    ];
    all.extend(servers.map(|(name, time, down, up)| Fault::Lose(name, time, down, up)));
    let tickets = of("ticket");
    all.push(Fault::Pause(tickets[..1].to_vec()));
    all.push(Fault::Pause(tickets));
    all.push(Fault::Cut);
    all
}

impl Fault {
    fn name(&self) -> String {
        match self {
            Self::Kill(names) => {
                let names = names.iter().map(|(service, replica)| format!("{service} {replica}"));
                format!("kill {}", names.collect::<Vec<_>>().join(", "))
            }
            Self::Lose(name, ..) => (*name).to_owned(),
            Self::Pause(names) => format!("pause {} of ticket", names.len()),
            Self::Cut => "cut booking from ticket".to_owned(),
        }
    }

    /// Lets it happen, and heal.
    async fn happen(&self, fleet: &mut Fleet) {
        match self {
            Self::Kill(names) => {
                for name in names {
                    fleet.kill(*name).await;
                }
                sleep(DOWN).await;
                for name in names {
                    fleet.start_again(*name).await;
                }
            }
            Self::Lose(_, time, down, up) => {
                fleet.with_parts(*down).await;
                sleep(*time).await;
                fleet.with_parts(*up).await;
            }
            Self::Pause(names) => {
                for name in names {
                    fleet.pause(*name).await;
                }
                sleep(LONG_DOWN).await;
                for name in names {
                    fleet.resume(*name).await;
                }
            }
            Self::Cut => {
                fleet.relays.iter().for_each(|relay| relay.cut());
                sleep(LONG_DOWN).await;
                fleet.relays.iter().for_each(|relay| relay.mend());
            }
        }
    }
}

/// A platform under load.
struct Sale {
    fleet: Fleet,
    web: Arc<Web>,
    world: Arc<World>,
    load: Load,
    /// Keeps the clients' address.
    _face: watch::Sender<Option<Face>>,
}

impl Sale {
    async fn begin(size: Size, values: &[(&str, &str)], patience: Duration) -> Self {
        let fleet = Fleet::start(size, &[ROOMY, FORGETFUL, values].concat()).await;
        let face = watch::Sender::new(Some(Face::of(fleet.gateways()).await));
        let web = Arc::new(Web::new(face.subscribe(), patience));
        let stage = stage::set(&web, &fleet.passwords().await).await;
        let world = World::new(web.clone(), stage, (SEED, PACE));
        let load = Load::start(&world);
        Self { fleet, web, world, load, _face: face }
    }

    /// Ends the load, lets everything come to rest, stops, and says what is wrong.
    async fn audit(mut self, began: Instant, patience: Duration) -> (Fleet, Vec<String>) {
        self.load.end().await;
        self.world.ask_again().await;
        let stores = self.fleet.stores();
        come_to_rest(&stores, patience).await;
        self.world.ask_again().await;
        self.fleet.stop().await;
        let entries = self.world.journal.entries().clone();
        let seen = audit(&stores, &entries).await;
        let found = [self.web.unanswered(), violations(&seen, &entries, &self.world.stage)];
        report(&seen, &entries, began.elapsed());
        let found = found.concat();
        if found.is_empty() {
            plants::each_is_found(&stores, &entries).await;
        }
        (self.fleet, found)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_whatever_breaks_under_load() {
    let mut sale = Sale::begin(Size::Two, &[], PATIENCE).await;
    let bookings = Bookings::open(&sale.fleet.stores()).await;
    let began = Instant::now();
    let faults = faults(&sale.fleet);
    let mut violations = Vec::new();
    let mut slowest = Duration::ZERO;
    for (at, fault) in faults.iter().enumerate() {
        sale.world.progress(at, faults.len());
        sleep(DOWN).await;
        let since = Instant::now();
        fault.happen(&mut sale.fleet).await;
        let (healed, name) = (Instant::now(), fault.name());
        let left = bookings.settle(SETTLED).await;
        let took = healed.elapsed();
        sale.fleet.all_ready().await;
        let (broken, ready) = (healed - since, healed.elapsed());
        println!("{name}: broken for {broken:.1?}, settled {took:.1?} later, ready {ready:.1?}");
        violations.extend(left.iter().map(|booking| format!("{booking} after {name}")));
        slowest = slowest.max(took);
    }
    bookings.close().await;
    let (tried, lost) = (sale.world.journal.entries().wishes.len(), sale.web.lost());
    let (mut fleet, found) = sale.audit(began, PATIENCE).await;
    violations.extend(found);
    println!(
        "bookings tried: {tried}, tries lost: {lost}, faults: {}, slowest settled: {slowest:.1?}, \
         violations: {}",
        faults.len(),
        violations.len()
    );
    if !violations.is_empty() {
        fleet.keep_logs();
        println!("{}", fleet.logs());
        panic!("{}\nin {}", violations.join("\n"), fleet.directory().display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leases_that_end_a_killed_process_leaves_bookings_unsettled() {
    const GIVEN: Duration = Duration::from_secs(10);
    const TRIES: usize = 8;
    let mut sale = Sale::begin(Size::One, &[("booking.lease_seconds", "3600")], GIVEN).await;
    let bookings = Bookings::open(&sale.fleet.stores()).await;
    let mut missed = false;
    for at in 0..TRIES {
        sale.world.progress(at, TRIES);
        sleep(DOWN).await;
        Fault::Kill(vec![("booking", 0)]).happen(&mut sale.fleet).await;
        let left = bookings.settle(GIVEN).await;
        if !left.is_empty() {
            missed = true;
            break;
        }
    }
    sale.load.end().await;
    bookings.close().await;
    assert!(missed, "nobody missed the guard");
}
