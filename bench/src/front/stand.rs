//! The platform that is measured, what is on sale there, who comes; and the course itself: callers
//! that run until it is over, a line a second, and what everything took meanwhile.

use std::{fmt, fs, net::SocketAddr, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use clap::Args;
use platform::Tasks;
use rush::{
    Account, Behaviour, Directions, Flush, House, Http, Meter, Preset, Product, RUSH, Sale,
    Scenario, Shape, Usage, Wal,
};
use tokio::{
    task::{JoinSet, LocalSet},
    time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep_until, timeout},
};

use super::tally::{Course, Tally};
use crate::{Failure, machine, memory::FACES};

/// What all measurements before the public door have in common.
#[derive(Args, Clone)]
pub(crate) struct StandArgs {
    /// one (process, on SQLite) or distributed (a process per service, on PostgreSQL, Redis and
    /// Kafka of its own)
    #[arg(long, default_value = "one", value_name = "SHAPE")]
    pub(crate) shape: String,
    /// How long each course is measured, in seconds
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u32,
    /// How long callers run before, in seconds
    #[arg(long, default_value_t = 3)]
    pub(crate) warm_up: u32,
    /// A value of the platform's configuration, such as ticket.max_batch=1
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// The binary [default: `boxoffice` beside this one]
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
}

/// How the places of a hall are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// Admissions of one counter
    Counter,
    /// Chosen seats all over the hall, each asked for once
    Random,
    /// The best that are free
    Best,
}

/// A running platform, and accounts that are signed in.
pub(crate) struct Stand {
    pub(crate) house: House,
    pub(crate) gateway: Arc<Http>,
    pub(crate) directions: Directions,
    pub(crate) gateway_at: SocketAddr,
    pub(crate) provider_at: SocketAddr,
    /// For each account, the line of the head that signs it in.
    pub(crate) bearers: Vec<String>,
    tasks: Tasks,
}

/// What a course took beside time.
pub(crate) struct Taken {
    usage: Vec<Usage>,
    others_cpu_ms: f64,
    wal: Option<Wal>,
    /// Processor time until the platform was idle again, after the course.
    after_cpu_ms: f64,
    after: Duration,
    flush: (Flush, Flush),
    course: Duration,
}

const STOP_TIME: Duration = Duration::from_secs(10);
/// How long the last answers may take.
const GRACE: Duration = Duration::from_secs(60);
/// The platform is idle once it takes less of a core than this for so long.
const IDLE_SHARE: f64 = 0.1;
const IDLE_TIME: Duration = Duration::from_secs(1);
/// After so long it is not waited for any more.
const IDLE_PATIENCE: Duration = Duration::from_secs(15);
/// Longer than any course.
const HOLD: Duration = Duration::from_secs(3_600);
/// As many as a failure shows.
const MOST_FAILURES: u32 = 20;

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is missing its =")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Choice {
    /// What `Behaviour` knows it as: seats on the map, best seats, admissions.
    const fn ways(self) -> [u32; 3] {
        match self {
            Self::Random => [1, 0, 0],
            Self::Best => [0, 1, 0],
            Self::Counter => [0, 0, 1],
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "one counter",
            Self::Random => "random seats",
            Self::Best => "best available",
        })
    }
}

impl StandArgs {
    /// Starts the platform. To be called outside of a runtime: it waits for processes.
    pub(crate) fn house(&self) -> Result<House, Failure> {
        let shape: Shape = self.shape.parse()?;
        let beside = std::env::current_exe()?.with_file_name("boxoffice");
        let binary = fs::canonicalize(self.binary.as_ref().unwrap_or(&beside))
            .map_err(|error| format!("no binary, cargo build --release makes it: {error}"))?;
        let services = FACES.iter().map(|(name, faces)| (*name, faces.to_vec())).collect();
        let product = Product { binary, services, values: self.settings.clone() };
        let house = House::start(shape, &product, &scenario(Choice::Counter, 1))?;
        let pids = house.processes().into_iter().map(|(name, pid)| format!("{name} {pid}"));
        println!("{}\n", machine::describe());
        println!("processes: {}\n", pids.collect::<Vec<_>>().join(", "));
        Ok(house)
    }

    /// The course that begins now.
    pub(crate) fn course(&self) -> Course {
        let from = Instant::now() + Duration::from_secs(self.warm_up.into());
        Course { from, until: from + Duration::from_secs(self.seconds.into()) }
    }
}

/// Runs `work` with everything it starts on this thread alone.
pub(crate) fn on_this_thread<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

fn scenario(choice: Choice, places: u32) -> Scenario {
    let sale = Preset::Sale.scenario();
    let behaviour = Behaviour { queue: false, ways: choice.ways(), ..sale.behaviour };
    Scenario { places, hold_ttl: HOLD, behaviour, ..sale }
}

impl Stand {
    /// Signs so many accounts up.
    pub(crate) async fn set(house: House, accounts: u32) -> Result<Self, Failure> {
        let tasks = Tasks::new();
        let gateway = Arc::new(Http::new(&house.gateway, tasks.clone()).await?);
        let directions = rush::directions(&gateway).await?;
        let sale = rush::sale(&gateway, &scenario(Choice::Counter, 1)).await?;
        let accounts = rush::accounts(&gateway, &sale.operator, accounts, |_| ()).await?;
        let bearers = accounts.iter().map(bearer_line).collect::<Result<_, _>>()?;
        let (gateway_at, provider_at) = (address(&house.gateway)?, address(&directions.provider)?);
        Ok(Self { house, gateway, directions, gateway_at, provider_at, bearers, tasks })
    }

    /// Puts a hall on sale.
    pub(crate) async fn sale(&self, choice: Choice, places: u32) -> Result<Sale, Failure> {
        Ok(rush::sale(&self.gateway, &scenario(choice, places)).await?)
    }

    /// Lets `callers` run until the course is over, and tells every second how far they are.
    /// A caller that fails is made anew, a few times.
    pub(crate) async fn run<C>(
        &self,
        (course, tally): (Course, &Rc<Tally>),
        mut callers: Vec<C>,
    ) -> Result<Taken, Failure>
    where
        C: AsyncFnMut() -> Result<(), Failure> + 'static,
    {
        let before = Flush::probe(self.house.directory())?;
        let mut crowd = JoinSet::new();
        for mut caller in callers.drain(..) {
            let tally = tally.clone();
            crowd.spawn_local(async move {
                let mut failures = 0;
                while let Err(failure) = caller().await {
                    failures += 1;
                    tally.refused(format!("failed: {failure}"));
                    if failures >= MOST_FAILURES || !tally.goes_on() {
                        break;
                    }
                }
            });
        }
        let second = Duration::from_secs(1);
        let mut tick = interval_at(Instant::now() + second, second);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tell(&mut tick, course.from, tally).await;
        let wal = self.wal().await?;
        let mut meter = Meter::start(self.house.parts())?;
        tell(&mut tick, course.until, tally).await;
        meter.look();
        let (usage, others_cpu_ms) = meter.end()?;
        let wal = match (self.wal().await?, wal) {
            (Some(now), Some(before)) => Some(now.since(before)),
            _ => None,
        };
        let mut rest = Meter::start(self.house.parts())?;
        let ended = async { while crowd.join_next().await.is_some() {} };
        timeout(GRACE, ended).await.map_err(|_| "callers that never come back")?;
        let after = self.rest(&mut rest).await;
        let flush = (before, Flush::probe(self.house.directory())?);
        let took = course.until.duration_since(course.from);
        let after_cpu_ms = rest.cpu_ms();
        Ok(Taken { usage, others_cpu_ms, wal, after_cpu_ms, after, flush, course: took })
    }

    /// Waits until the platform is idle; how long that was.
    async fn rest(&self, meter: &mut Meter) -> Duration {
        let began = Instant::now();
        let mut tick = interval(IDLE_TIME);
        let mut before = None;
        while began.elapsed() < IDLE_PATIENCE {
            tick.tick().await;
            meter.look();
            let now = meter.cpu_ms();
            let least = IDLE_SHARE * IDLE_TIME.as_secs_f64() * 1_000.0;
            if before.is_some_and(|before| now - before < least) {
                break;
            }
            before = Some(now);
        }
        began.elapsed()
    }

    async fn wal(&self) -> Result<Option<Wal>, Failure> {
        match self.house.database() {
            Some(url) => Ok(Some(Wal::read(&url).await?)),
            None => Ok(None),
        }
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        self.house.is_whole()?;
        self.tasks.stop(STOP_TIME).await;
        Ok(())
    }
}

impl Taken {
    /// Processor time for each of `count`, of the platform and its servers, and of the callers.
    pub(crate) fn cpu_ms_each(&self, count: u64) -> (f64, f64) {
        let count = count.max(1) as f64;
        let own = self.usage.iter().filter(|usage| usage.part == RUSH);
        let own: f64 = own.map(|usage| usage.cpu_ms).sum();
        let all: f64 = self.usage.iter().map(|usage| usage.cpu_ms).sum();
        ((all - own) / count, own / count)
    }

    /// By part, for each of `count`; what the log of changes took; what came after; disk and
    /// neighbours.
    pub(crate) fn text(&self, count: u64) -> String {
        let each = count.max(1) as f64;
        let parts = self.usage.iter().filter(|usage| usage.cpu_ms / each >= 0.000_5);
        let parts = parts.map(|usage| {
            let name = if usage.part == RUSH { "callers" } else { usage.part.as_str() };
            let kb = usage.written_bytes as f64 / each / 1_024.0;
            format!("{name} {:.3} ({kb:.0} KB)", usage.cpu_ms / each)
        });
        let mut text =
            format!("CPU-ms (and written) each, by part: {}", parts.collect::<Vec<_>>().join(", "));
        if let Some(wal) = self.wal {
            text += &format!(
                "\nPostgreSQL each: {:.2} flushes, {:.2} commits, {:.1} KB of log",
                wal.syncs as f64 / each,
                wal.commits as f64 / each,
                wal.bytes as f64 / each / 1_024.0
            );
        }
        let busy: f64 = self.usage.iter().map(|usage| usage.cpu_ms).sum();
        let took_ms = self.course.as_secs_f64() * 1_000.0;
        let (before, after) = self.flush;
        text += &format!(
            "\nidle {:.0} s after the course, which took {:.0} CPU-ms more; cores in use {:.2}, by \
             others {:.2}; fdatasync of 4 KiB, median (p99): {} ({}) µs before, {} ({}) µs after",
            self.after.as_secs_f64(),
            self.after_cpu_ms,
            busy / took_ms,
            self.others_cpu_ms / took_ms,
            before.median_us,
            before.p99_us,
            after.median_us,
            after.p99_us
        );
        text
    }
}

/// Says at each tick how far the callers are, until then.
async fn tell(tick: &mut Interval, until: Instant, tally: &Tally) {
    while Instant::now() < until {
        tokio::select! {
            biased;
            _ = tick.tick() => println!("  {}", tally.tell()),
            () = sleep_until(until) => {}
        }
    }
}

/// The line of a head that signs an account in.
fn bearer_line(account: &Account) -> Result<String, Failure> {
    Ok(format!("authorization: {}\r\n", account.bearer().to_str()?))
}

/// Where `http://address:port` is.
fn address(url: &str) -> Result<SocketAddr, Failure> {
    let host = url.strip_prefix("http://").ok_or("not http")?.trim_end_matches('/');
    Ok(host.parse().map_err(|_| format!("{url:?} has no numeric address"))?)
}
