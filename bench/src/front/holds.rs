//! Holds over HTTP: a request for places that ends with places held, before there is a booking.
//! Behind one platform and one wire, ticket-service as shipped and the designs that others use take
//! turns. On demand the platform as it is, in one process or several.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    rc::Rc,
};

use clap::Args;
use infra::{Postgres, PostgresOptions, Redis, RedisOptions};
use rush::Part;
use tempfile::TempDir;

use super::{
    buyer::{HELD, STEPS, Wishes, crowd},
    platform::{Choice, Hall, Platform, StandArgs},
    stand::{Stand, on_this_thread},
    tally::Tally,
};
use crate::{
    Failure,
    standin::{Design, READY},
};

#[derive(Args, Clone)]
pub(crate) struct HoldsArgs {
    #[command(flatten)]
    stand: StandArgs,
    /// How many ask at once
    #[arg(long, default_value_t = 128, value_name = "N")]
    callers: u32,
    /// How they choose, each in turns of its own: counter or random
    #[arg(long, value_delimiter = ',', default_value = "counter,random", value_name = "WAY")]
    choice: Vec<Choice>,
    /// How often all take turns
    #[arg(long, default_value_t = 2, value_name = "N")]
    turns: u32,
    /// Places of each hall
    #[arg(long, default_value_t = 50_000)]
    hall: u32,
    /// Only the platform as it is
    #[arg(long)]
    shipped: bool,
}

const COLUMNS: &str = "| hall | design | holds a second (each turn) | × | best second | \
    p50 / p99 ms | CPU-ms each (callers' own) | refused |\n|---|---|--:|--:|--:|--:|--:|---|";

/// The process that stands in, with its servers.
struct Beside {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    postgres: Postgres,
    redis: Redis,
    settings: [(&'static str, String); 1],
    _directory: TempDir,
}

/// What one design did in all of its turns.
#[derive(Default)]
struct Sum {
    rates: Vec<f64>,
    best_second: u64,
    last: String,
    cpu_ms: (f64, f64),
    refused: String,
    note: String,
}

/// Measures all designs, or the platform as it is.
pub(crate) fn run(args: &HoldsArgs) -> Result<(), Failure> {
    let secret = infra::random_hex(32)?;
    let mut beside = if args.shipped { None } else { Some(Beside::start(&secret)?) };
    let settings = beside.iter().flat_map(|beside| &beside.settings);
    let settings: Vec<_> = settings.map(|(key, value)| (*key, value.as_str())).collect();
    let mut platform = args.stand.platform(&secret, &settings)?;
    if let Some(beside) = &beside {
        beside.join(&mut platform);
    }
    on_this_thread(async {
        let stand = Rc::new(Stand::set(platform, args.callers).await?);
        let mut text = String::new();
        for choice in &args.choice {
            text += &turns(&stand, args, *choice, beside.as_mut()).await?;
        }
        println!("\n{COLUMNS}\n{text}");
        Stand::end(stand).await
    })?
}

/// Lets all designs take their turns in halls of one kind. Prints notes, and answers the rows of
/// the table.
async fn turns(
    stand: &Rc<Stand>,
    args: &HoldsArgs,
    choice: Choice,
    mut beside: Option<&mut Beside>,
) -> Result<String, Failure> {
    let designs: &[Design] = if beside.is_some() { &Design::ALL } else { &[Design::Coalesced] };
    let mut sums: Vec<Sum> = designs.iter().map(|_| Sum::default()).collect();
    for turn in 1..=args.turns {
        for (design, sum) in designs.iter().zip(&mut sums) {
            if let Some(beside) = &mut beside {
                beside.order(*design)?;
            }
            println!("{choice}, {}, turn {turn}:", design.name());
            sum.take(stand, args, choice).await?;
        }
    }
    let slowest = sums.iter().map(Sum::mean).fold(f64::INFINITY, f64::min).max(1.0);
    let (mut rows, mut notes) = (String::new(), String::new());
    for (design, sum) in designs.iter().zip(&sums) {
        let rates: Vec<_> = sum.rates.iter().map(|rate| format!("{rate:.0}")).collect();
        let (platform, own) = sum.cpu_ms;
        rows += &format!(
            "| {choice} | {} | **{:.0}** ({}) | {:.1} | {} | {} | {:.3} ({own:.3}) | {} |\n",
            design.name(),
            sum.mean(),
            rates.join(", "),
            sum.mean() / slowest,
            sum.best_second,
            sum.last,
            platform + own,
            sum.refused
        );
        notes += &format!("\n{choice}, {}, last turn: {}\n", design.name(), sum.note);
    }
    println!("{notes}");
    Ok(rows)
}

impl Sum {
    fn mean(&self) -> f64 {
        self.rates.iter().sum::<f64>() / self.rates.len().max(1) as f64
    }

    /// One turn, in a hall of its own.
    async fn take(
        &mut self,
        stand: &Rc<Stand>,
        args: &HoldsArgs,
        choice: Choice,
    ) -> Result<(), Failure> {
        let sale = stand.sale(Hall { choice, places: args.hall, queue: false }).await?;
        let tally = Rc::new(Tally::new(STEPS, args.stand.course())?);
        let wishes = Wishes::new(sale, (choice, args.hall), 1);
        let buyers = crowd(stand, args.callers, (wishes, &tally))?.into_iter();
        let crowd = buyers.map(|buyer| async move || buyer.hold().await).collect();
        let taken = stand.run(&tally, crowd).await?;
        let pace = tally.pace(HELD).ok_or("no such step")?;
        self.rates.push(pace.per_second);
        self.best_second = self.best_second.max(pace.best_second);
        self.last = pace.to_string();
        self.cpu_ms = taken.cpu_ms_each(pace.count);
        self.refused = tally.refusals();
        self.note = taken.text(pace.count);
        Ok(())
    }
}

impl Beside {
    /// Starts the process and its servers, and waits until it listens.
    fn start(secret: &str) -> Result<Self, Failure> {
        let postgres = Postgres::start(&PostgresOptions::default())?;
        let redis = Redis::start(&RedisOptions::default())?;
        for name in Design::DATABASES {
            postgres.query(&format!("create database {name}"))?;
        }
        let directory = tempfile::tempdir()?;
        let port = infra::free_port()?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["stand-in", "--postgres", &postgres.server_url(), "--redis", &redis.url()])
            .args(["--port", &port.to_string(), "--secret", secret, "--directory"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let settings = [("remotes.ticket", format!("[\"http://127.0.0.1:{port}\"]"))];
        let mut beside =
            Self { child, orders, answers, postgres, redis, settings, _directory: directory };
        beside.await_ready()?;
        Ok(beside)
    }

    /// Makes the next event one of this design.
    fn order(&mut self, design: Design) -> Result<(), Failure> {
        writeln!(self.orders, "{}", design.name())?;
        self.await_ready()
    }

    fn await_ready(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.trim() == READY { Ok(()) } else { Err("the stand-in has ended".into()) }
    }

    /// Has it measured with the platform.
    fn join(&self, platform: &mut Platform) {
        platform.beside.extend([
            Part::process("stand-in", Some(self.child.id())),
            Part::postgres(self.postgres.directory()),
            Part::server("redis", self.redis.directory()),
        ]);
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
