//! The platform that is measured, and how it is started.

use std::{fmt, fs, path::PathBuf, time::Duration};

use clap::Args;
use rush::{Behaviour, House, Part, Preset, Product, Scenario, Shape};
use tokio::time::Instant;

use super::tally::Course;
use crate::{Failure, machine, memory::FACES};

/// What all measurements before the public door have in common.
#[derive(Args, Clone)]
pub(crate) struct StandArgs {
    /// one (process, on SQLite), distributed (a process per service, on PostgreSQL, Redis and Kafka
    /// of its own) or servers (one process, on such servers)
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

/// What is on sale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hall {
    pub(crate) choice: Choice,
    pub(crate) places: u32,
    /// Whether there is a queue before it, which admits next to nobody.
    pub(crate) queue: bool,
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

/// A running platform.
pub(crate) struct Platform {
    pub(crate) house: House,
    /// What takes part and was started apart.
    pub(crate) beside: Vec<Part>,
}

/// Where much is sold at once, so many places of a booking.
pub(crate) const PLACES_AT_ONCE: u32 = 10;
/// Longer than any course.
const HOLD: Duration = Duration::from_secs(3_600);

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is missing its =")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl StandArgs {
    /// Starts the platform with this secret (hex digits) and further `settings`. To be called
    /// outside of a runtime: it waits for processes.
    pub(crate) fn platform(
        &self,
        secret: &str,
        settings: &[(&str, &str)],
    ) -> Result<Platform, Failure> {
        let shape: Shape = self.shape.parse()?;
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut values = vec![("boxoffice.secret".to_owned(), secret.to_owned())];
        values.extend(settings.iter().map(owned));
        values.extend_from_slice(&self.settings);
        let services = FACES.iter().map(|(name, faces)| (*name, faces.to_vec())).collect();
        // A minute to warm up is part of what is measured where there are brokers.
        let product = Product { binary: self.binary()?, services, values, is_lasting: true };
        let any = Hall { choice: Choice::Counter, places: 1, queue: false };
        let house = House::start(shape, &product, &any.scenario())?;
        let pids = house.processes().into_iter().map(|(name, pid)| format!("{name} {pid}"));
        println!("{}\n", machine::describe());
        println!("processes: {}\n", pids.collect::<Vec<_>>().join(", "));
        Ok(Platform { house, beside: Vec::new() })
    }

    fn binary(&self) -> Result<PathBuf, Failure> {
        let beside = std::env::current_exe()?.with_file_name("boxoffice");
        let found = fs::canonicalize(self.binary.as_ref().unwrap_or(&beside));
        Ok(found.map_err(|error| format!("no binary, cargo build --release makes it: {error}"))?)
    }

    /// The course that begins now.
    pub(crate) fn course(&self) -> Course {
        let from = Instant::now() + Duration::from_secs(self.warm_up.into());
        Course { from, until: from + Duration::from_secs(self.seconds.into()) }
    }
}

impl Hall {
    /// The sale of it.
    pub(crate) fn scenario(self) -> Scenario {
        let sale = Preset::Sale.scenario();
        let ways = match self.choice {
            Choice::Random => [1, 0, 0],
            Choice::Best => [0, 1, 0],
            Choice::Counter => [0, 0, 1],
        };
        let most_places = sale.behaviour.most_places.max(PLACES_AT_ONCE);
        let behaviour = Behaviour { queue: self.queue, ways, most_places, ..sale.behaviour };
        let (places, admissions_per_minute) = (self.places, 1);
        Scenario { places, admissions_per_minute, hold_ttl: HOLD, behaviour, ..sale }
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
