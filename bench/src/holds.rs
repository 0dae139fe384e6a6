//! Holds per second: requests that meet decided in one transaction, against a transaction each.
//! The ways take turns in the same run, so that disk and neighbours are the same for all.

use std::{sync::Arc, time::Duration};

use crate::{
    Bench, Engine, Failure,
    crowd::{self, Measured},
    house::{COALESCED, House, Way},
    processor::Meter,
    stock::{self, Stock},
};

const CALLERS: [usize; 3] = [1, 32, 256];
const ROUNDS: usize = 2;
/// Seats of an event.
const SEATS: u32 = 50_000;
/// Admissions of an event, as many as one may have.
const ADMISSIONS: u32 = 200_000;
/// Events opened for one turn of one way; more than any gets through.
const EVENTS: u32 = 4;

/// On SQLite the writer by itself commits transactions that wait in one go, each in a savepoint.
const SQLITE: [Way; 3] = [
    COALESCED,
    Way { name: "commit shared only", batch_and_lanes: Some((1, 256)) },
    Way { name: "one by one", batch_and_lanes: Some((1, 1)) },
];
/// A transaction a request on every connection of the pool.
const POSTGRES: [Way; 2] = [COALESCED, Way { name: "one by one", batch_and_lanes: Some((1, 8)) }];

/// What is held.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Seats,
}

impl Kind {
    const ALL: [(Self, &'static str); 2] = [
        (Self::Counter, "one hot general-admission counter, one admission a hold"),
        (Self::Seats, "random seats out of 50,000, two a hold"),
    ];

    async fn stock(self, house: &House, events: u32) -> Result<Arc<Stock>, Failure> {
        Ok(Arc::new(match self {
            Self::Counter => {
                let plan = stock::plan(0, ADMISSIONS);
                Stock::admissions(house.open_events(events, &plan).await?, ADMISSIONS)
            }
            Self::Seats => {
                let plan = stock::plan(SEATS, 0);
                Stock::seats(house.open_events(events, &plan).await?, 0..SEATS)
            }
        }))
    }
}

/// Measures one engine, and prints a table for each kind of hold.
pub(crate) async fn run(bench: &Bench<'_>, engine: Engine, time: Duration) -> Result<(), Failure> {
    let ways: &[Way] = match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    };
    let meter = bench.meter(engine).await?;
    let mut houses = Vec::new();
    for (number, way) in ways.iter().enumerate() {
        let name = format!("holds_{number}");
        let log = bench.directory.join(format!("{engine}_{name}_log"));
        let house = House::open(&bench.url(engine, &name)?, &log, *way).await?;
        for (kind, _) in Kind::ALL {
            crowd::warm_up(&house, &kind.stock(&house, 1).await?).await?;
        }
        houses.push((*way, house));
    }
    for (kind, title) in Kind::ALL {
        println!("### {engine}: {title}\n");
        println!(
            "| callers | way | holds/s (each turn) | × | p50 ms | p99 ms | CPU-ms a hold \
             (PostgreSQL's share) | relay behind ms | refused |"
        );
        println!("|--:|---|--:|--:|--:|--:|--:|--:|---|");
        for callers in CALLERS {
            row(&houses, kind, callers, time, meter).await?;
        }
        println!();
    }
    for (_, house) in houses {
        house.close().await?;
    }
    Ok(())
}

async fn row(
    houses: &[(Way, House)],
    kind: Kind,
    callers: usize,
    time: Duration,
    meter: Meter,
) -> Result<(), Failure> {
    let mut sums = Vec::new();
    for (way, _) in houses {
        sums.push((*way, Measured::nothing()?, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for ((_, house), (_, sum, turns)) in houses.iter().zip(&mut sums) {
            let stock = kind.stock(house, EVENTS).await?;
            let measured = crowd::run(house, &stock, callers, time, meter).await?;
            turns.push(format!("{:.0}", measured.rate()));
            sum.add(&measured)?;
        }
    }
    // The last way is what the others are compared with.
    let one_by_one = sums.last().map_or(1.0, |(_, sum, _)| sum.rate());
    for (way, sum, turns) in &sums {
        let (own, server) = sum.cost_ms();
        println!(
            "| {callers} | {} | **{:.0}** ({}) | {:.1} | {:.2} | {:.2} | {:.3} ({server:.3}) | \
             {} | {} |",
            way.name,
            sum.rate(),
            turns.join(", "),
            sum.rate() / one_by_one,
            sum.percentile_ms(50.0),
            sum.percentile_ms(99.0),
            own + server,
            sum.lag.as_millis(),
            sum.refusals(),
        );
    }
    Ok(())
}
