//! Processor time a hold in two houses that differ only in what was sold before: nothing, or many
//! tickets, in the very events whose places are held. It must not grow.

use std::{sync::Arc, time::Duration};

use crate::{
    Bench, Engine, Failure,
    crowd::{self, Measured},
    fill,
    house::{COALESCED, House},
    processor::Meter,
    stock::{self, Stock},
};

/// Seats of an event that were sold before, in the house where any were.
const SOLD: u32 = 50_000;
/// Seats of an event that are held in the run.
const LEFT: u32 = 50_000;
/// Room for admissions of an event.
const ADMISSIONS: u32 = 100_000;
const CALLERS: usize = 32;
/// Turns of each house.
const ROUNDS: usize = 4;
/// Holds a turn; the same number for both, so that what is held grows alike.
const HOLDS: u64 = 5_000;
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// A house and what is left in it.
struct Ready {
    sold: u32,
    house: House,
    seats: Arc<Stock>,
    admissions: Arc<Stock>,
}

/// Measures one engine, and prints a table.
pub(crate) async fn run(bench: &Bench<'_>, engine: Engine, tickets: u32) -> Result<(), Failure> {
    let meter = bench.meter(engine).await?;
    let events = (tickets / SOLD).max(1);
    let houses =
        [prepare(bench, engine, events, 0).await?, prepare(bench, engine, events, SOLD).await?];
    println!("### {engine}: processor time a hold, {CALLERS} callers\n");
    println!(
        "| what is held | tickets sold before | holds/s | CPU-ms a hold (PostgreSQL's share) | \
         ratio |"
    );
    println!("|---|--:|--:|--:|--:|");
    for (title, seats) in [("two random seats", true), ("one admission", false)] {
        let sums = measure(&houses, seats, meter).await?;
        let total = |sum: &Measured| sum.cost_ms().0 + sum.cost_ms().1;
        let empty = sums.first().map_or(1.0, total);
        for (ready, sum) in houses.iter().zip(&sums) {
            let (own, server) = sum.cost_ms();
            println!(
                "| {title} | {} | {:.0} | {:.4} ({server:.4}) | {:.2} |",
                ready.sold * events,
                sum.rate(),
                own + server,
                (own + server) / empty,
            );
        }
    }
    for ready in houses {
        ready.house.close().await?;
    }
    Ok(())
}

/// A house with this many events, each with so many seats sold, and settled.
async fn prepare(
    bench: &Bench<'_>,
    engine: Engine,
    events: u32,
    sold: u32,
) -> Result<Ready, Failure> {
    let name = format!("flat_{sold}");
    let url = bench.url(engine, &name)?;
    let log = bench.directory.join(format!("{name}_{engine}_log"));
    let house = House::open(&url, &log, COALESCED).await?;
    let opened = house.open_events(events, &stock::plan(SOLD + LEFT, ADMISSIONS)).await?;
    for (event_id, number) in opened.iter().zip(0_u32..) {
        if sold > 0 {
            fill::sell(&house.db, event_id, number * sold / 2, sold).await?;
        }
    }
    // Closed, a SQLite file has no log left; PostgreSQL is told to do what it would do in time.
    house.close().await?;
    if engine == Engine::Postgres {
        tidy_up(&url).await?;
    }
    let house = House::open(&url, &log, COALESCED).await?;
    let seats = Arc::new(Stock::seats(opened.clone(), SOLD..SOLD + LEFT));
    let admissions = Arc::new(Stock::admissions(opened, ADMISSIONS));
    Ok(Ready { sold, house, seats, admissions })
}

/// What autovacuum and the checkpointer would otherwise do in the middle of the measuring.
async fn tidy_up(url: &str) -> Result<(), Failure> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let work = async {
        client.batch_execute("vacuum (analyze)").await?;
        client.batch_execute("checkpoint").await
    };
    tokio::select! {
        done = work => Ok(done?),
        ended = connection => Err(format!("connection ended: {ended:?}").into()),
    }
}

/// Lets the houses take turns, the first of a round being the last of the next.
async fn measure(houses: &[Ready; 2], seats: bool, meter: Meter) -> Result<Vec<Measured>, Failure> {
    let mut sums = Vec::new();
    for ready in houses.iter() {
        turn(ready, seats, HOLDS / 4, meter).await?;
        sums.push(Measured::nothing()?);
    }
    for round in 0..ROUNDS {
        let mut pairs: Vec<_> = houses.iter().zip(&mut sums).collect();
        if round % 2 == 1 {
            pairs.reverse();
        }
        for (ready, sum) in pairs {
            sum.add(&turn(ready, seats, HOLDS, meter).await?)?;
        }
    }
    Ok(sums)
}

async fn turn(ready: &Ready, seats: bool, holds: u64, meter: Meter) -> Result<Measured, Failure> {
    let stock = if seats { &ready.seats } else { &ready.admissions };
    stock.allow(holds);
    let measured = crowd::run(&ready.house, stock, CALLERS, TURN_LIMIT, meter).await?;
    if measured.held < holds {
        let (held, refusals) = (measured.held, measured.refusals());
        return Err(format!("{held} holds where {holds} were to be made; {refusals}").into());
    }
    Ok(measured)
}
