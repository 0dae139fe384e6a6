//! Measures what the platform promises about speed, and prints it as tables. Says what the disk and
//! the neighbours did meanwhile, since no figure means anything without.
#![expect(clippy::print_stdout, reason = "tables on standard output are what this is for")]

mod crowd;
mod events;
mod facts;
mod fill;
mod flat;
mod front;
mod holds;
mod house;
mod machine;
mod memory;
mod payments;
mod processor;
mod standin;
mod stock;
mod till;
mod waiting;

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use infra::{Kafka, KafkaOptions, Postgres, PostgresOptions};
use tokio_postgres::NoTls;

use crate::{machine::Watch, processor::Meter};

/// As the product allocates.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What may go wrong: anything, and then there is nothing to do but say so.
type Failure = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures holds, payments, events, memory, and the platform from its public \
             door; without a command, all of the former")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Holds per second: requests that meet decided together, against one transaction each
    Holds(HoldsArgs),
    /// Processor time a hold, with nothing sold before and with many tickets sold
    Flat(FlatArgs),
    /// Events on their way from outboxes through the event log to consumers, and what they cost
    Events(EventsArgs),
    /// Payments per second, and what one costs, the provider's sandbox included
    Payments(HoldsArgs),
    /// Complete bookings per second at the public door: asked for, paid, confirmed
    Bookings(front::bookings::BookingsArgs),
    /// Holds per second at the public door, by several designs of a ticket-service behind it
    HttpHolds(front::holds::HoldsArgs),
    /// Refusals per second at the public door: sold out, and without an admission
    Refusals(front::refusals::RefusalsArgs),
    /// The waiting queue at the public door: places taken and places asked for, per second
    Queue(front::queue::QueueArgs),
    /// What `http-holds` starts beside the platform
    #[command(hide = true)]
    StandIn(standin::StandInArgs),
    /// Memory of places in the waiting queue, in the process and in Redis
    Waiting(waiting::WaitingArgs),
    /// Memory of the whole platform in one process, idle
    Memory(MemoryArgs),
}

#[derive(Args)]
struct HoldsArgs {
    /// How long each way is measured at a time, in seconds
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Only on this engine
    #[arg(long)]
    engine: Option<Engine>,
}

#[derive(Args)]
struct FlatArgs {
    /// Tickets sold before, in the fuller of the two houses
    #[arg(long, default_value_t = 500_000)]
    tickets: u32,
    /// Only on this engine
    #[arg(long)]
    engine: Option<Engine>,
}

#[derive(Args, Clone, Copy)]
struct EventsArgs {
    /// Bookings a second whose events are written; 0: as fast as they can be
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// How many bookings, of ten events each
    #[arg(long, default_value_t = 10_000)]
    bookings: u32,
    /// Only on this engine: SQLite with the log in the process, or PostgreSQL with Kafka
    #[arg(long)]
    engine: Option<Engine>,
    /// Only as far as this
    #[arg(long)]
    reach: Option<events::Reach>,
}

#[derive(Args)]
struct MemoryArgs {
    /// The binary [default: `boxoffice` beside this one]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// What the service keeps its state in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

fn main() -> Result<(), Failure> {
    let command = Cli::parse().command;
    // These start a platform of their own, and nothing else.
    match &command {
        Some(Command::Bookings(args)) => return front::bookings::run(args),
        Some(Command::Refusals(args)) => return front::refusals::run(args),
        Some(Command::Queue(args)) => return front::queue::run(args),
        Some(Command::HttpHolds(args)) => return front::holds::run(args),
        Some(Command::StandIn(args)) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            return runtime.block_on(standin::run(args));
        }
        _ => {}
    }
    println!("{}\n", machine::describe());
    // Before the runtime: it starts and ends processes, and waits for them.
    let cluster = match command {
        Some(Command::Memory(_) | Command::Waiting(_)) => None,
        _ => Some(Postgres::start(&PostgresOptions::default())?),
    };
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bench = Bench { cluster: cluster.as_ref(), directory: directory.path() };
    runtime.block_on(async {
        match command {
            Some(Command::Holds(args)) => bench.holds(args).await,
            Some(Command::Flat(args)) => bench.flat(args).await,
            Some(Command::Events(args)) => bench.events(args).await,
            Some(Command::Payments(args)) => bench.payments(args).await,
            Some(Command::Memory(args)) => bench.memory(args).await,
            Some(Command::Waiting(args)) => bench.waiting(args).await,
            Some(_) => Err("it has its own way".into()),
            None => {
                bench.holds(HoldsArgs { seconds: 1.5, engine: None }).await?;
                bench.flat(FlatArgs { tickets: 500_000, engine: None }).await?;
                let (rate, bookings) = (1_000, 10_000);
                bench.events(EventsArgs { rate, bookings, engine: None, reach: None }).await?;
                bench.payments(HoldsArgs { seconds: 3.0, engine: None }).await?;
                bench.memory(MemoryArgs { binary: None }).await
            }
        }
    })
}

/// Where things are.
#[derive(Clone, Copy)]
struct Bench<'a> {
    cluster: Option<&'a Postgres>,
    directory: &'a Path,
}

impl Bench<'_> {
    async fn holds(&self, args: HoldsArgs) -> Result<(), Failure> {
        let time = Duration::try_from_secs_f64(args.seconds)?;
        for engine in engines(args.engine) {
            let watch = Watch::start(self.directory, self.meter(engine).await?)?;
            holds::run(self, engine, time).await?;
            println!("{}\n", watch.end()?);
        }
        Ok(())
    }

    async fn flat(&self, args: FlatArgs) -> Result<(), Failure> {
        for engine in engines(args.engine) {
            let watch = Watch::start(self.directory, self.meter(engine).await?)?;
            flat::run(self, engine, args.tickets).await?;
            println!("{}\n", watch.end()?);
        }
        Ok(())
    }

    async fn events(&self, args: EventsArgs) -> Result<(), Failure> {
        for engine in engines(args.engine) {
            let kafka = match engine {
                Engine::Sqlite => None,
                // It starts a process, and waits for it.
                Engine::Postgres => {
                    Some(tokio::task::block_in_place(|| Kafka::start(&KafkaOptions::default()))?)
                }
            };
            let meter = self.meter(engine).await?;
            let pid = kafka.as_ref().and_then(|kafka| kafka.pid());
            let meter = pid.map_or(meter, |pid| meter.and_kafka(pid));
            let watch = Watch::start(self.directory, meter)?;
            events::run(self, (engine, kafka.as_ref()), args, meter).await?;
            println!("{}\n", watch.end()?);
            tokio::task::block_in_place(|| drop(kafka));
        }
        Ok(())
    }

    async fn payments(&self, args: HoldsArgs) -> Result<(), Failure> {
        let time = Duration::try_from_secs_f64(args.seconds)?;
        for engine in engines(args.engine) {
            let watch = Watch::start(self.directory, self.meter(engine).await?)?;
            payments::run(self, engine, time).await?;
            println!("{}\n", watch.end()?);
        }
        Ok(())
    }

    async fn waiting(&self, args: waiting::WaitingArgs) -> Result<(), Failure> {
        let watch = Watch::start(self.directory, Meter::of_this_process())?;
        waiting::run(self, args).await?;
        println!("{}\n", watch.end()?);
        Ok(())
    }

    async fn memory(&self, args: MemoryArgs) -> Result<(), Failure> {
        let watch = Watch::start(self.directory, Meter::of_this_process())?;
        memory::run(self.directory, args.binary).await?;
        println!("{}\n", watch.end()?);
        Ok(())
    }

    /// Measures this process, and PostgreSQL's where it takes part.
    async fn meter(&self, engine: Engine) -> Result<Meter, Failure> {
        if engine == Engine::Sqlite {
            return Ok(Meter::of_this_process());
        }
        let url = self.url(engine, "postgres")?;
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        // The server process must live while its parent is looked up.
        tokio::pin!(connection);
        let row = tokio::select! {
            row = client.query_one("select pg_backend_pid()", &[]) => row?,
            ended = &mut connection => return Err(format!("connection ended: {ended:?}").into()),
        };
        Meter::with_postgres_of(row.try_get(0)?)
    }

    /// The url of a database called `name`, which need not be there yet.
    fn url(&self, engine: Engine, name: &str) -> Result<String, Failure> {
        if engine == Engine::Sqlite {
            return Ok(format!("sqlite:{}", self.directory.join(name).display()));
        }
        let cluster = self.cluster.ok_or("no postgresql was started")?;
        Ok(format!("{}/{name}", cluster.server_url()))
    }
}

fn engines(only: Option<Engine>) -> Vec<Engine> {
    only.map_or_else(|| vec![Engine::Sqlite, Engine::Postgres], |engine| vec![engine])
}
