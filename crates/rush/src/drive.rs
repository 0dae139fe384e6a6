//! A real run: the platform is started, the stage set, the doors opened, everything measured, and
//! what must be so checked at the end.

mod crowd;

use std::{
    path::Path,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use platform::Tasks;
use tokio::{sync::Semaphore, task::block_in_place, time::Instant};

use crate::{
    Failure, Report, Scenario,
    background::{self, Sellers},
    board::Board,
    engine::World,
    facts::Facts,
    house::{House, Product, Shape},
    http::{Call, Http},
    journal::Journal,
    machine::{Flush, describe},
    meter::{Meter, Usage, Wal},
    news,
    overload::Overload,
    proof,
    report::Bookings,
    stage::{self, expect},
    tally::Tally,
};

/// Where the platform is.
#[derive(Debug, Clone)]
pub enum Place {
    /// It is started for this run, and thrown away after.
    Own(Shape),
    /// The gateway at this address, `http://host:port`, of a demo.
    Given(String),
}

/// A run to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is played.
    pub scenario: Scenario,
    /// Where.
    pub place: Place,
    /// What is started.
    pub product: Product,
}

/// How long what was told to stop may take.
const STOP_TIME: Duration = Duration::from_secs(5);
/// How many sockets open at once.
const OPENING_AT_ONCE: usize = 64;
const SIGN_UPS_TOLD: usize = 1_000;

/// The platform while it is measured.
struct Watch {
    meter: Meter,
    wal: Option<Wal>,
    flush: Flush,
}

/// Plays the scenario, says how far it is, and reports.
///
/// # Errors
/// If the platform can't be started or reached, or the stage can't be set. What goes wrong during
/// the sale is in the report.
pub async fn run(options: &Options, say: &(dyn Fn(&str) + Sync)) -> Result<Report, Failure> {
    let scenario = &options.scenario;
    let files = tempfile::tempdir()?;
    let journal = files.path().join("journal");
    match &options.place {
        Place::Given(address) => {
            let world = set(scenario, address, &journal, say).await?;
            play(&world, None, say)
                .await
                .map(|report| Report { platform: address.clone(), ..report })
        }
        Place::Own(shape) => {
            say("starting a platform");
            let house = block_in_place(|| House::start(*shape, &options.product, scenario))?;
            let address = house.gateway.clone();
            say(&format!("the platform is ready at {address}"));
            let world = set(scenario, &address, &journal, say).await?;
            let house = Some((house, options.product.binary.as_path()));
            let report = play(&world, house, say).await?;
            Ok(Report { platform: shape.name().to_owned(), ..report })
        }
    }
}

/// Sets the stage: a hall on sale, accounts, sockets.
async fn set(
    scenario: &Scenario,
    address: &str,
    journal: &Path,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(Arc<World>, Sellers), Failure> {
    let tasks = Tasks::new();
    let gateway = Arc::new(Http::new(address).await?);
    let directions = stage::directions(&gateway).await?;
    let provider = Arc::new(Http::new(&directions.provider).await?);
    let sale = stage::sale(&gateway, scenario).await?;
    say(&format!("{} places on sale; {} accounts sign up", scenario.places, scenario.accounts));
    let accounts = stage::accounts(&gateway, &sale.operator, scenario.accounts, |done| {
        if done % SIGN_UPS_TOLD == 0 {
            say(&format!("{done} accounts have signed up"));
        }
    });
    let accounts = accounts.await?;
    let world = Arc::new(World {
        run: infra::random_hex(6)?,
        gateway,
        provider,
        publishable_key: directions.publishable_key,
        realtime_url: directions.realtime,
        event_id: sale.event_id,
        accounts,
        board: Board::new(sale.seats),
        tally: Tally::default(),
        facts: Facts::new(scenario.seats(), scenario.places - scenario.seats()),
        news: news::NewsDesk::default(),
        journal: Journal::create(journal)?,
        tasks,
        slots: [(); 3].map(|()| Semaphore::new(scenario.in_flight as usize)),
        all_sold: AtomicBool::new(false),
        began: OnceLock::new(),
        scenario: scenario.clone(),
    });
    open_sockets(&world).await?;
    Ok((world, Sellers { organizer: sale.organizer, operator: sale.operator }))
}

async fn open_sockets(world: &Arc<World>) -> Result<(), Failure> {
    use futures_util::{StreamExt, TryStreamExt, stream};
    let accounts = (0..world.scenario.account_sockets).map(|account| news::listen(world, account));
    stream::iter(accounts).buffer_unordered(OPENING_AT_ONCE).try_collect::<Vec<()>>().await?;
    let visitors = (0..world.scenario.background.sockets).map(|_| news::watch(world));
    stream::iter(visitors).buffer_unordered(OPENING_AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// Opens the doors, and reports once all is over.
async fn play(
    (world, sellers): &(Arc<World>, Sellers),
    mut house: Option<(House, &Path)>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Report, Failure> {
    let mut watch = match &house {
        Some((house, _)) => Some(Watch::start(house).await?),
        None => None,
    };
    let began = *world.began.get_or_init(Instant::now);
    let others = Tasks::new();
    background::start(world, sellers, &others)?;
    let look = || {
        if let Some(watch) = &mut watch {
            watch.meter.look();
        }
    };
    let standbys = crowd::play(world, look, say).await?;
    let took = began.elapsed();
    others.stop(STOP_TIME).await;
    let seen = match (watch, &house) {
        (Some(watch), Some((house, _))) => Some(watch.end(house).await?),
        _ => None,
    };
    let sold = crowd::sold(world).await?;
    let mut violations = world.facts.violations();
    violations.extend(crowd::disagreements(world, sold));
    world.journal.close().map_err(Failure::new)?;
    world.tasks.stop(STOP_TIME).await;
    let mut audit = None;
    if let Some((house, binary)) = &mut house {
        if let Err(ended) = block_in_place(|| house.is_whole()) {
            violations.push(ended.to_string());
        }
        say("auditing");
        let said = proof::audit(binary, house, world.journal.path()).await?;
        violations.extend(proof::violations(&said)?);
        audit = Some(said);
    }
    let report = report(world, (took, sold, standbys), seen);
    Ok(Report { violations, audit, ..report? })
}

/// What a watch has seen.
type Seen = (Vec<Usage>, f64, Option<Wal>, (Flush, Flush));

impl Watch {
    async fn start(house: &House) -> Result<Self, Failure> {
        let wal = match house.database() {
            Some(url) => Some(Wal::read(&url).await?),
            None => None,
        };
        let flush = block_in_place(|| Flush::probe(house.directory()))?;
        Ok(Self { meter: Meter::start(house.parts())?, wal, flush })
    }

    async fn end(self, house: &House) -> Result<Seen, Failure> {
        let (usage, others) = self.meter.end()?;
        let wal = match (self.wal, house.database()) {
            (Some(before), Some(url)) => Some(Wal::read(&url).await?.since(before)),
            _ => None,
        };
        let flush = block_in_place(|| Flush::probe(house.directory()))?;
        Ok((usage, others, wal, (self.flush, flush)))
    }
}

fn report(
    world: &World,
    (took, sold, standbys): (Duration, u64, u64),
    seen: Option<Seen>,
) -> Result<Report, Failure> {
    let counts = world.tally.counts();
    let scenario = serde_json::to_value(&world.scenario);
    let (usage, others, wal, flush) = match seen {
        Some((usage, others, wal, flush)) => (usage, others, wal, Some(flush)),
        None => (Vec::new(), 0.0, None, None),
    };
    Ok(Report {
        scenario: scenario.map_err(|error| Failure::new(error.to_string()))?,
        platform: String::new(),
        machine: describe(),
        flush_before: flush.map(|(before, _)| before),
        flush_after: flush.map(|(_, after)| after),
        took_seconds: took.as_secs_f64(),
        sold_out_seconds: counts.sold_out_at.map(|time| time.as_secs_f64()),
        places: world.scenario.places,
        sold,
        arrived: counts.total().arrived,
        bookings: Bookings::of(&counts.seconds),
        ends: counts.ends.clone(),
        standbys,
        lapsed: counts.lapsed,
        declined: counts.declined,
        latencies: counts.latencies(),
        refusals: counts.refusals.clone(),
        lost: counts.lost.clone(),
        late: counts.late,
        connections: world.gateway.opened() + world.provider.opened(),
        frames: counts.frames,
        usage,
        others_cpu_ms: others,
        wal,
        overload: Overload::of(&world.scenario, &counts.seconds),
        seconds: counts.seconds,
        violations: Vec::new(),
        audit: None,
    })
}

/// What is free, section by section, as the platform says.
async fn availability(world: &World) -> Result<serde_json::Value, Failure> {
    let path = format!("/api/v1/events/{}/availability?counts_only=true", world.event_id);
    Ok(expect(&world.gateway, &Call::get(&path)?, 200).await?)
}
