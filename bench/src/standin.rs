//! A process that stands in for ticket-service with several designs at once, each with the events
//! it was given, so that all are called over the same wire by the same platform. It does as it is
//! told on standard input, and ends with it.

mod lock;
mod seats;
mod service;

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::{Args, ValueEnum};
use kernel::SystemClock;
use platform::Tasks;
use tokio::net::TcpListener;
use tonic::service::Routes;
use wire::{Mesh, MeshSettings, pb::ticket::v1::ticket_service_server::TicketServiceServer};

use self::{seats::Seats, service::StandIn};
use crate::{
    Failure,
    front::mint,
    house::{COALESCED, House},
};

/// Where its servers are, and where it listens.
#[derive(Args)]
pub(crate) struct StandInArgs {
    #[arg(long)]
    postgres: String,
    #[arg(long)]
    redis: String,
    /// The deployment's secret, as hex digits
    #[arg(long)]
    secret: String,
    #[arg(long)]
    port: u16,
    /// Where the event log of the shipped design may be
    #[arg(long)]
    directory: PathBuf,
}

/// How it is decided who gets which places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Design {
    /// ticket-service as shipped: requests that meet are decided in one transaction
    Coalesced,
    /// `select … for update` in a transaction of its own
    RowLocks,
    /// A lock of the event in Redis around a transaction
    EventLock,
    /// A lock of each seat in Redis around a transaction
    SeatLocks,
}

impl Design {
    /// All, as they take turns.
    pub(crate) const ALL: [Self; 4] =
        [Self::Coalesced, Self::RowLocks, Self::EventLock, Self::SeatLocks];

    /// The databases of the shipped design, and of the others.
    pub(crate) const DATABASES: [&str; 2] = ["coalesced", "others"];

    /// What it is called, as a command and in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Coalesced => "coalesced",
            Self::RowLocks => "row-locks",
            Self::EventLock => "event-lock",
            Self::SeatLocks => "seat-locks",
        }
    }
}

/// The design of the next event; shared by who is told and who opens inventories.
type Next = Arc<Mutex<Design>>;

const DEADLINE: Duration = Duration::from_secs(30);
/// What is said once it listens, and after each design.
pub(crate) const READY: &str = "ready";

/// Serves until standard input ends.
pub(crate) async fn run(args: &StandInArgs) -> Result<(), Failure> {
    let [shipped, others] = Design::DATABASES.map(|name| format!("{}/{name}", args.postgres));
    let tasks = Tasks::new();
    let house = House::open(&shipped, &args.directory.join("log"), COALESCED).await?;
    let seats = Seats::open(&others, &tasks).await?;
    let redis = redis::Client::open(args.redis.as_str())?.get_connection_manager().await?;
    let next = Next::new(Mutex::new(Design::Coalesced));
    let stand_in = StandIn::new((house.client()?, house.opener()?), seats, redis, next.clone());
    let mesh = Mesh::new(MeshSettings {
        key: mint::key(&args.secret)?,
        calls: &[],
        remotes: BTreeMap::new(),
        tls: None,
        deadline: DEADLINE,
        clock: Arc::new(SystemClock),
    })?;
    let routes = Routes::new(TicketServiceServer::new(stand_in));
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    let served = mesh.serve(listener, mesh.fill(ticket::NAME, routes)?, tasks.stopping());
    tasks.spawn("listener", async move {
        // It is not missed before the callers say so.
        let _ended = served.await;
    });
    tokio::task::spawn_blocking(move || obey(&next)).await??;
    tasks.stop(DEADLINE).await;
    house.close().await
}

/// Takes the design of the next event from each line.
fn obey(next: &Next) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{READY}")?;
    for line in std::io::stdin().lock().lines() {
        let design = Design::from_str(line?.trim(), false)?;
        *next.lock().unwrap_or_else(PoisonError::into_inner) = design;
        writeln!(out, "{READY}")?;
    }
    Ok(())
}
