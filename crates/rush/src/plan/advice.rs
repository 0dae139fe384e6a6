//! Which rate of admission to choose: the same sale, tried at several.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::{Costs, Forecast, forecast};
use crate::{Failure, Scenario, tally::Step};

/// A sale at one rate of admission.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// Admissions a minute.
    pub admissions_per_minute: u32,
    /// How it goes.
    pub forecast: Forecast,
}

/// What is foreseen, and what to choose.
#[derive(Debug, Clone, Serialize)]
pub struct Advice {
    /// The sale as it was asked for.
    pub forecast: Forecast,
    /// The same with a queue, at rates some way apart.
    pub trials: Vec<Trial>,
    /// The rate to choose; none if the platform is too slow for any.
    pub admissions_per_minute: Option<u32>,
}

/// In the busiest second, so much of the processors' time leaves room for what nobody foresaw.
const ROOM: f64 = 0.75;
/// A rate that sells out so much sooner is worth its load.
const WORTH: f64 = 0.9;
const LOWEST_RATE: u32 = 750;
/// Beyond so many buyers rates are tried four times apart.
const CROWD: u32 = 200_000;
const HIGHEST_RATE: u32 = 100_000;

/// Foresees the sale, and tries what rates of admission make of it.
///
/// The rate to choose is the lowest that leaves the processors room, and beyond which doubling the
/// rate does not sell out noticeably sooner: a faster one only lets people in who find nothing.
#[must_use]
pub fn advise(scenario: &Scenario, costs: &Costs) -> Advice {
    let factor = if scenario.buyers > CROWD { 4 } else { 2 };
    let mut rates = vec![LOWEST_RATE];
    while let Some(rate) = rates.last().filter(|rate| **rate < HIGHEST_RATE) {
        rates.push((rate * factor).min(HIGHEST_RATE));
    }
    // Each core foresees its share of them.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut trials: Vec<Trial> = std::thread::scope(|scope| {
        let shares = (0..cores).map(|core| {
            let share: Vec<u32> = rates.iter().copied().skip(core).step_by(cores).collect();
            scope.spawn(move || {
                share.into_iter().map(|rate| try_at(rate, scenario, costs)).collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = shares.collect();
        // One that panicked has said so; its rates are missing.
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    trials.sort_by_key(|trial| trial.admissions_per_minute);
    let admissions_per_minute = choose(&trials);
    Advice { forecast: forecast(scenario, costs), trials, admissions_per_minute }
}

impl Advice {
    /// It as JSON.
    ///
    /// # Errors
    /// If a number in it can't be written.
    pub fn json(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self);
        text.map_err(|error| Failure::new(format!("plan: {error}")))
    }
}

fn try_at(admissions_per_minute: u32, scenario: &Scenario, costs: &Costs) -> Trial {
    let mut tried = scenario.clone();
    tried.behaviour.queue = true;
    tried.admissions_per_minute = admissions_per_minute;
    Trial { admissions_per_minute, forecast: forecast(&tried, costs) }
}

fn choose(trials: &[Trial]) -> Option<u32> {
    let roomy: Vec<&Trial> =
        trials.iter().filter(|trial| trial.forecast.peak_utilisation <= ROOM).collect();
    let ends = |trial: &Trial| trial.forecast.sold_out_seconds.unwrap_or(f64::INFINITY);
    let mut chosen = *roomy.first()?;
    for trial in roomy {
        if ends(trial) < ends(chosen) * WORTH {
            chosen = trial;
        }
    }
    Some(chosen.admissions_per_minute)
}

impl Display for Advice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.forecast)?;
        writeln!(
            f,
            "\n{:>12}{:>14}{:>12}{:>12}{:>12}{:>12}{:>14}",
            "admissions", "nothing free", "wait p50", "wait p90", "lapsed", "let in", "busiest"
        )?;
        writeln!(
            f,
            "{:>12}{:>14}{:>12}{:>12}{:>12}{:>12}{:>14}",
            "a minute", "after s", "s", "s", "holds", "in vain", "second, %"
        )?;
        for Trial { admissions_per_minute, forecast } in &self.trials {
            let wait = forecast.latency(Step::Turn);
            let [p50, p90] =
                wait.map_or([0.0, 0.0], |its| [its.p50_ms / 1_000.0, its.p90_ms / 1_000.0]);
            let sold_out =
                forecast.sold_out_seconds.map_or("never".to_owned(), |at| format!("{at:.1}"));
            writeln!(
                f,
                "{admissions_per_minute:>12}{sold_out:>14}{p50:>12.1}{p90:>12.1}{:>12}{:>12}\
                 {:>14.0}",
                forecast.lapsed,
                forecast.in_vain,
                forecast.peak_utilisation * 100.0
            )?;
        }
        match self.admissions_per_minute {
            Some(rate) => write!(f, "\nadmissions a minute to choose: {rate}"),
            None => write!(f, "\nno rate leaves the processors room"),
        }
    }
}
