//! `boxoffice rush`: what its flags mean.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use rush::{Costs, Curve, Failure, Options, Place, Preset, Product, Report, Scenario};

use crate::{print::say, topology::FACES};

/// Each flag changes one value of the scenario.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct RushArgs {
    /// What is played: sale, on-sale, overload, million or soak
    #[arg(long, default_value = "sale", value_name = "NAME")]
    scenario: String,
    /// The platform that is started: one (process, on SQLite), distributed (a process per service,
    /// on PostgreSQL, Redis and Kafka of its own) or servers (one process, on such servers)
    #[arg(long, default_value = "one", value_name = "SHAPE")]
    shape: String,
    /// Plays on the platform whose gateway is at this address instead, such as
    /// http://127.0.0.1:3000: a demo with room for a crowd from one address
    #[arg(long, value_name = "URL", conflicts_with = "shape")]
    against: Option<String>,
    /// Buyers that come
    #[arg(long, value_name = "N")]
    buyers: Option<u32>,
    /// Places on sale
    #[arg(long, alias = "seats", value_name = "N")]
    places: Option<u32>,
    /// How arrivals spread: constant, ramp, spike, on-sale or surge
    #[arg(long, value_name = "CURVE")]
    curve: Option<String>,
    /// From the first arrival to the last, in seconds
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// Whether there is a queue before the event
    #[arg(long, value_name = "BOOL")]
    queue: Option<bool>,
    /// Whether buyers hold places first and book them when they pay, or book at once
    #[arg(long, value_name = "BOOL")]
    hold_first: Option<bool>,
    /// How many the queue admits a minute
    #[arg(long, value_name = "N")]
    admissions_per_minute: Option<u32>,
    /// How places are chosen: random (on the map), best, counter (admissions) or mixed
    #[arg(long, value_name = "WAY")]
    choice: Option<String>,
    /// The most places of a booking
    #[arg(long, value_name = "N")]
    places_a_booking: Option<u32>,
    /// How often a buyer asks for places until the visit is over
    #[arg(long, value_name = "N")]
    tries: Option<u32>,
    /// The median of the time until a buyer pays, in seconds
    #[arg(long, value_name = "SECONDS")]
    pay: Option<f64>,
    /// The probability that a card is declined
    #[arg(long, value_name = "P")]
    decline: Option<f64>,
    /// The probability to walk away from places that are held
    #[arg(long, value_name = "P")]
    abandon: Option<f64>,
    /// The probability to come back after leaving with nothing
    #[arg(long, value_name = "P")]
    come_back: Option<f64>,
    /// How often in a row a buyer who is put off comes again
    #[arg(long, value_name = "N")]
    put_offs: Option<u32>,
    /// How long a buyer waits in the queue, on average, in seconds
    #[arg(long, value_name = "SECONDS")]
    patience: Option<f64>,
    /// How long places are held, in seconds
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u64>,
    /// Browsers' requests a second
    #[arg(long, value_name = "RATE")]
    browses: Option<f64>,
    /// Requests for the head of the queue a second
    #[arg(long, value_name = "RATE")]
    polls: Option<f64>,
    /// Sockets of visitors in the room of the event
    #[arg(long, value_name = "N")]
    sockets: Option<u32>,
    /// Organizers' requests a second
    #[arg(long, value_name = "RATE")]
    edits: Option<f64>,
    /// Accounts that buyers share where there is no queue
    #[arg(long, value_name = "N")]
    accounts: Option<u32>,
    /// Accounts that are told over a socket; the others ask
    #[arg(long, value_name = "N")]
    account_sockets: Option<u32>,
    /// How often those ask, in seconds
    #[arg(long, value_name = "SECONDS")]
    poll: Option<f64>,
    /// The most requests that wait for an answer at once
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// Where all chance comes from
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Writes the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the report to this file, as a page with charts
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    html: Option<PathBuf>,
    /// Foresees the sale on a virtual clock instead of playing it, and which rate of admission to
    /// choose
    #[arg(long)]
    plan: bool,
    /// Foresees it with the costs that this report (of --json) has found
    #[arg(long, value_name = "FILE", requires = "plan")]
    costs: Option<PathBuf>,
    /// Shows what is foreseen beside what this report has found
    #[arg(long, value_name = "FILE", requires = "plan")]
    compare: Option<PathBuf>,
}

/// A larger sale is foreseen only when asked for: it takes seconds.
const MOST_FORESEEN: u32 = 200_000;
/// For arrivals over so long, brokers do well to compile what they do often.
const LASTING: Duration = Duration::from_secs(300);

/// Plays a rush, and prints the report: success only if nothing is wrong.
///
/// # Errors
/// If a value makes no sense, or the platform can't be started or reached.
pub(crate) async fn run(
    args: &RushArgs,
    values: Vec<(String, String)>,
) -> Result<ExitCode, Failure> {
    if args.plan {
        return plan(args);
    }
    let place = match &args.against {
        Some(address) => Place::Given(address.clone()),
        None => Place::Own(args.shape.parse()?),
    };
    let scenario = scenario(args)?;
    let services = FACES.iter().map(|(name, faces)| (*name, faces.to_vec())).collect();
    let binary = std::env::current_exe().map_err(|error| Failure::new(error.to_string()))?;
    let is_lasting = scenario.window >= LASTING;
    let product = Product { binary, services, values, is_lasting };
    let options = Options { scenario, place, product };
    let report = rush::run(&options, &|line| say(line)).await?;
    say(&format!("\n{report}"));
    if options.scenario.buyers <= MOST_FORESEEN {
        let foreseen = rush::forecast(&options.scenario, &Costs::of(&report));
        say(&format!("\n{}", rush::compare(&foreseen, &report)));
    }
    if let Some(file) = &args.json {
        write(file, &report.json()?)?;
    }
    if let Some(file) = &args.html {
        write(file, &report.page())?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Foresees the sale.
fn plan(args: &RushArgs) -> Result<ExitCode, Failure> {
    let read = |file: &PathBuf| {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
        Report::from_json(&text).map_err(|error| wrong(&error))
    };
    let costs = match &args.costs {
        Some(file) => Costs::of(&read(file)?),
        None => Costs::unmeasured(&scenario(args)?.behaviour),
    };
    let advice = rush::advise(&scenario(args)?, &costs);
    say(&advice.to_string());
    if let Some(file) = &args.compare {
        say(&format!("\n{}", rush::compare(&advice.forecast, &read(file)?)));
    }
    if let Some(file) = &args.json {
        write(file, &advice.json()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

fn scenario(args: &RushArgs) -> Result<Scenario, Failure> {
    let mut its = Preset::from_str(&args.scenario)?.scenario();
    let curve = args.curve.as_deref().map(Curve::from_str).transpose()?;
    set(&mut its.curve, curve);
    set(&mut its.seed, args.seed);
    set(&mut its.buyers, args.buyers);
    set(&mut its.places, args.places);
    set(&mut its.window, seconds("window", args.window)?);
    set(&mut its.admissions_per_minute, args.admissions_per_minute);
    set(&mut its.hold_ttl, args.hold.map(Duration::from_secs));
    set(&mut its.accounts, args.accounts);
    set(&mut its.account_sockets, args.account_sockets);
    set(&mut its.poll_period, seconds("poll", args.poll)?);
    set(&mut its.in_flight, args.in_flight);
    let how = &mut its.behaviour;
    set(&mut how.queue, args.queue);
    set(&mut how.holds_first, args.hold_first);
    set(&mut how.ways, args.choice.as_deref().map(ways).transpose()?);
    set(&mut how.most_places, args.places_a_booking);
    set(&mut how.tries, args.tries);
    set(&mut how.pay_median, seconds("pay", args.pay)?);
    set(&mut how.decline, args.decline);
    set(&mut how.abandon, args.abandon);
    set(&mut how.come_back, args.come_back);
    set(&mut how.put_offs, args.put_offs);
    set(&mut how.patience_mean, seconds("patience", args.patience)?);
    let others = &mut its.background;
    set(&mut others.browses_per_second, args.browses);
    set(&mut others.polls_per_second, args.polls);
    set(&mut others.sockets, args.sockets);
    set(&mut others.edits_per_second, args.edits);
    Ok(its.checked()?)
}

fn set<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

fn seconds(what: &str, given: Option<f64>) -> Result<Option<Duration>, Failure> {
    let time = given.map(Duration::try_from_secs_f64).transpose();
    time.map_err(|_| Failure::new(format!("{what} is a time in seconds, not {given:?}")))
}

fn ways(word: &str) -> Result<[u32; 3], Failure> {
    match word {
        "random" => Ok([1, 0, 0]),
        "best" => Ok([0, 1, 0]),
        "counter" => Ok([0, 0, 1]),
        "mixed" => Ok([4, 4, 2]),
        _ => Err(Failure::new(format!(
            "{word:?} is no way to choose: random, best, counter or mixed"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rush::Shape;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RushArgs,
    }

    fn read(words: &[&str]) -> Result<Scenario, String> {
        let line = Line::try_parse_from([&["rush"], words].concat());
        scenario(&line.map_err(|error| error.to_string())?.args).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_change_what_they_say() {
        let plain = read(&[]).unwrap();
        assert_eq!((plain.name.as_str(), plain.buyers), ("sale", 1_200));
        let words = ["--buyers", "9", "--seats", "3", "--curve", "spike", "--window", "0.5"];
        let changed = read(&[&words[..], &["--queue", "false", "--choice", "counter"]].concat());
        let changed = changed.unwrap();
        assert_eq!((changed.buyers, changed.places, changed.accounts), (9, 3, 9));
        assert_eq!((changed.curve, changed.window), (Curve::Spike, Duration::from_millis(500)));
        assert_eq!((changed.behaviour.queue, changed.behaviour.ways), (false, [0, 0, 1]));
    }

    #[test]
    fn what_makes_no_sense_is_one_clear_line() {
        for (words, told) in [
            (["--buyers", "0"], "buyers is from 1"),
            (["--polls", "-1"], "polls can't be -1"),
            (["--curve", "sawtooth"], "\"sawtooth\" is no arrival curve"),
            (["--window", "-3"], "window is a time in seconds"),
            (["--choice", "any"], "\"any\" is no way to choose"),
            (["--scenario", "party"], "\"party\" is no scenario"),
            (["--decline", "2"], "decline is a probability"),
        ] {
            let refused = read(&words).unwrap_err();
            assert!(refused.contains(told) && !refused.contains('\n'), "{words:?}: {refused}");
        }
        assert!("cluster".parse::<Shape>().is_err());
    }
}
