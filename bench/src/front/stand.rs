//! Those who come to the platform, and the course itself: callers that run until it is over, a line
//! a second, and what everything took meanwhile.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use platform::Tasks;
use rush::{Account, Directions, Flush, House, Http, Meter, Part, Sale};
use tokio::{
    task::{JoinSet, LocalSet, spawn_blocking},
    time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep_until, timeout},
};

use super::{
    platform::{Choice, Hall, Platform},
    taken::{Taken, Watch},
    tally::Tally,
};
use crate::Failure;

/// A running platform, and accounts that are signed in.
pub(crate) struct Stand {
    pub(crate) house: House,
    pub(crate) directions: Directions,
    pub(crate) gateway_at: SocketAddr,
    pub(crate) provider_at: SocketAddr,
    /// For each account, the line of the head that signs it in.
    pub(crate) bearers: Vec<String>,
    beside: Vec<Part>,
    gateway: Arc<Http>,
    tasks: Tasks,
}

const SECOND: Duration = Duration::from_secs(1);
const STOP_TIME: Duration = Duration::from_secs(10);
/// How long the last answers may take.
const GRACE: Duration = Duration::from_secs(60);
/// The platform is idle once it takes less of a core than this for a second.
const IDLE_SHARE: f64 = 0.1;
/// After so long it is not waited for any more.
const IDLE_PATIENCE: Duration = Duration::from_secs(15);
/// A caller that fails is made anew, but not more often than this.
const MOST_FAILURES: u32 = 20;

/// Runs `work` with everything it starts on this thread alone.
pub(crate) fn on_this_thread<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

impl Stand {
    /// Signs so many accounts up.
    pub(crate) async fn set(platform: Platform, accounts: u32) -> Result<Self, Failure> {
        let Platform { house, beside } = platform;
        let tasks = Tasks::new();
        let gateway = Arc::new(Http::new(&house.gateway).await?);
        let directions = rush::directions(&gateway).await?;
        let any = Hall { choice: Choice::Counter, places: 1, queue: false };
        let sale = rush::sale(&gateway, &any.scenario()).await?;
        let accounts = rush::accounts(&gateway, &sale.operator, accounts, |_| ()).await?;
        let bearers = accounts.iter().map(bearer_line).collect::<Result<_, _>>()?;
        let (gateway_at, provider_at) = (address(&house.gateway)?, address(&directions.provider)?);
        Ok(Self { house, directions, gateway_at, provider_at, bearers, beside, gateway, tasks })
    }

    /// Puts a hall on sale.
    pub(crate) async fn sale(&self, hall: Hall) -> Result<Sale, Failure> {
        Ok(rush::sale(&self.gateway, &hall.scenario()).await?)
    }

    /// Lets `callers` run until the course is over or none of them has anything to do, and tells
    /// every second how far they are.
    pub(crate) async fn run<C>(&self, tally: &Rc<Tally>, callers: Vec<C>) -> Result<Taken, Failure>
    where
        C: AsyncFnMut() -> Result<(), Failure> + 'static,
    {
        let before = Flush::probe(self.house.directory())?;
        let mut crowd = JoinSet::new();
        for caller in callers {
            crowd.spawn_local(again_and_again(caller, tally.clone()));
        }
        let mut tick = interval_at(Instant::now() + SECOND, SECOND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let from = tally.course().from;
        tell(&mut tick, from, tally).await;
        let watch = Watch::start(&self.house, self.parts()).await?;
        let gone = async { while crowd.join_next().await.is_some() {} };
        tokio::select! {
            () = tell(&mut tick, tally.course().until, tally) => {}
            () = gone => tally.end_now(),
        }
        let took = tally.course().until.duration_since(from);
        let mut taken = watch.end(&self.house, took, before).await?;
        let mut rest = Meter::start(self.parts())?;
        let gone = async { while crowd.join_next().await.is_some() {} };
        timeout(GRACE, gone).await.map_err(|_| "callers that never come back")?;
        taken.rest = (self.rest(&mut rest).await, rest.cpu_ms());
        taken.flush.1 = Flush::probe(self.house.directory())?;
        Ok(taken)
    }

    /// What takes processor time.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = self.house.parts();
        parts.extend_from_slice(&self.beside);
        parts
    }

    /// Waits until the platform is idle; how long that was.
    async fn rest(&self, meter: &mut Meter) -> Duration {
        let began = Instant::now();
        let mut tick = interval(SECOND);
        let mut before = None;
        while began.elapsed() < IDLE_PATIENCE {
            tick.tick().await;
            meter.look();
            let now = meter.cpu_ms();
            let least = IDLE_SHARE * SECOND.as_secs_f64() * 1_000.0;
            if before.is_some_and(|before| now - before < least) {
                break;
            }
            before = Some(now);
        }
        began.elapsed()
    }

    /// Ends it orderly, and says if anything of it had ended before.
    pub(crate) async fn end(stand: Rc<Self>) -> Result<(), Failure> {
        let stand = Rc::try_unwrap(stand).map_err(|_| "a caller is left")?;
        stand.tasks.stop(STOP_TIME).await;
        Ok(spawn_blocking(move || stand.house.end()).await??)
    }
}

/// Lets a caller run; once more if it fails, as its connections are gone.
async fn again_and_again<C>(mut caller: C, tally: Rc<Tally>)
where
    C: AsyncFnMut() -> Result<(), Failure>,
{
    for _ in 0..MOST_FAILURES {
        let Err(failure) = caller().await else { return };
        tally.refused(format!("failed: {failure}"));
        if !tally.goes_on() {
            return;
        }
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
