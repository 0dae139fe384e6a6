//! Callers that hold places as fast as they are answered, and what came of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hdrhistogram::Histogram;
use kernel::{AccountId, Clock, HoldId, SystemClock};
use testkit::SeededIds;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use wire::pb::ticket::v1::HoldSeatsRequest;

use crate::{
    Failure,
    house::{Client, House},
    processor::{Meter, Spent},
    stock::Stock,
};

/// Long enough that none lapses while there is measuring.
const TTL_SECONDS: u32 = 7_200;
/// How much longer than asked for a run may take.
const GRACE: Duration = Duration::from_secs(60);
const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 2;
/// Holds made before anything is measured: connections, prepared statements, rooms.
const WARM_UP_CALLERS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(150);

/// What came of a run.
pub(crate) struct Measured {
    /// Holds that stand.
    pub(crate) held: u64,
    /// Refusals by their reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// From then until the last event was in the log.
    pub(crate) lag: Duration,
    /// Processor time of both.
    pub(crate) spent: Spent,
    /// How long each hold took, in microseconds.
    latency: Histogram<u64>,
}

impl Measured {
    /// Nothing yet.
    pub(crate) fn nothing() -> Result<Self, Failure> {
        Ok(Self {
            held: 0,
            refused: BTreeMap::new(),
            took: Duration::ZERO,
            lag: Duration::ZERO,
            spent: Spent::default(),
            latency: Histogram::new_with_max(LONGEST_US, DIGITS)?,
        })
    }

    /// Both together.
    pub(crate) fn add(&mut self, more: &Self) -> Result<(), Failure> {
        self.held += more.held;
        self.took += more.took;
        self.lag = self.lag.max(more.lag);
        self.spent += more.spent;
        self.latency.add(&more.latency)?;
        for (reason, count) in &more.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
        Ok(())
    }

    /// Holds a second.
    pub(crate) fn rate(&self) -> f64 {
        self.held as f64 / self.took.as_secs_f64()
    }

    /// The time that this share of the holds, in percent, took at most, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        self.latency.value_at_percentile(percent) as f64 / 1_000.0
    }

    /// Processor time a hold, in milliseconds: of this process, and of PostgreSQL.
    pub(crate) fn cost_ms(&self) -> (f64, f64) {
        let held = self.held.max(1) as f64;
        (self.spent.own_ms / held, self.spent.postgres_ms / held)
    }

    /// The refusals, in words.
    pub(crate) fn refusals(&self) -> String {
        let each = self.refused.iter().map(|(reason, count)| format!("{count} {reason}"));
        let all: Vec<String> = each.collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    }
}

/// Lets `callers` hold what `stock` has for this time.
pub(crate) async fn run(
    house: &House,
    stock: &Arc<Stock>,
    callers: usize,
    time: Duration,
    meter: Meter,
) -> Result<Measured, Failure> {
    house.settle().await?;
    let mut measured = Measured::nothing()?;
    let before = meter.read()?;
    let began = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..callers {
        let caller = Caller {
            client: house.client()?,
            stock: stock.clone(),
            ids: house.ids.clone(),
            until: began + time,
        };
        crowd.spawn(caller.hold());
    }
    let gather = async {
        while let Some(told) = crowd.join_next().await {
            measured.add(&told??)?;
        }
        Ok::<_, Failure>(())
    };
    timeout(time + GRACE, gather).await.map_err(|_| "callers that never come back")??;
    measured.took = began.elapsed();
    house.settle().await?;
    measured.lag = began.elapsed() - measured.took;
    measured.spent = meter.read()?.since(before);
    Ok(measured)
}

/// Lets the house do a little of what will be measured.
pub(crate) async fn warm_up(house: &House, stock: &Arc<Stock>) -> Result<(), Failure> {
    let meter = Meter::of_this_process();
    let warm = run(house, stock, WARM_UP_CALLERS, WARM_UP, meter).await?;
    if warm.held == 0 {
        return Err(format!("no hold stands: {}", warm.refusals()).into());
    }
    Ok(())
}

struct Caller {
    client: Client,
    stock: Arc<Stock>,
    ids: Arc<SeededIds>,
    until: Instant,
}

impl Caller {
    /// Holds until the time is over or nothing is left.
    async fn hold(mut self) -> Result<Measured, Failure> {
        let mut measured = Measured::nothing()?;
        while Instant::now() < self.until {
            let Some((event_id, choice)) = self.stock.next() else { break };
            let now = SystemClock.now();
            let request = HoldSeatsRequest {
                hold_id: HoldId::new(&*self.ids, now).to_string(),
                event_id: event_id.to_owned(),
                account_id: AccountId::new(&*self.ids, now).to_string(),
                choice: Some(choice),
                ttl_seconds: TTL_SECONDS,
            };
            let began = Instant::now();
            match self.client.hold_seats(request).await {
                Ok(_) => {
                    measured.held += 1;
                    let micros = u64::try_from(began.elapsed().as_micros())?;
                    measured.latency.saturating_record(micros);
                }
                Err(status) => {
                    let reason = wire::failure(&status).reason.into_owned();
                    *measured.refused.entry(reason).or_default() += 1;
                }
            }
        }
        Ok(measured)
    }
}
