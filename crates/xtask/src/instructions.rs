//! `cargo xtask instructions`: counts how many instructions the hot parts take, under valgrind, and
//! fails where one takes more than was recorded. Unlike time, a count is the same on a busy
//! machine.

mod record;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use self::record::{Counts, Record};
use crate::step::{self, Failure};

/// Where counts are recorded, from the root of the checkout.
const RECORDED: &str = "bench/instructions.toml";
/// What callgrind says before the number of instructions that it has counted.
const MARK: &str = "Collected : ";

/// Counts and compares; or with `--record`, counts and writes down.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let records = match args.as_slice() {
        [] => false,
        ["--record"] => true,
        _ => {
            let message = "usage: cargo xtask instructions [--record]".to_owned();
            return Err(Failure { message, code: 2 });
        }
    };
    let build = ["build", "--locked", "--release", "--package", "hot"];
    step::run("the hot parts", &mut step::cargo(&build))?;
    let counted = step::timed("instructions", count)?;
    let path = step::root().join(RECORDED);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut record =
        Record::read(&text).map_err(|why| Failure::new(format!("{RECORDED}: {why}")))?;
    if records {
        record.set(std::env::consts::ARCH, counted);
        return Ok(std::fs::write(&path, record.to_string())?);
    }
    let Some(recorded) = record.of(std::env::consts::ARCH) else {
        println!("xtask: nothing is recorded for {}", std::env::consts::ARCH);
        return Ok(());
    };
    let findings = record::compare(recorded, &counted);
    for line in &findings.notes {
        println!("xtask: {line}");
    }
    if findings.wrong.is_empty() {
        return Ok(());
    }
    let wrong = findings.wrong.join("\n  ");
    let advice = "if it is worth it: cargo xtask instructions --record, and say why in the commit";
    Err(Failure::new(format!("instructions:\n  {wrong}\n{advice}")))
}

/// The instructions of each workload, for doing it once.
fn count() -> Result<Counts, Failure> {
    let (hot, valgrind) = (binary()?, infra::valgrind()?);
    let named = Command::new(&hot).output()?;
    let named = String::from_utf8_lossy(&named.stdout).into_owned();
    let workloads: Vec<(&str, u64)> = named
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, times)| Some((name, times.parse().ok()?)))
        .collect();
    let next = Mutex::new(workloads.into_iter());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut counts = BTreeMap::new();
        while let Some((name, times)) = take() {
            // What starting and preparing takes is in both, and cancels out.
            let less = collected(&valgrind, &hot, name, times)?;
            let more = collected(&valgrind, &hot, name, times * 2)?;
            counts.insert(name.to_owned(), more.saturating_sub(less) / times.max(1));
        }
        Ok::<Counts, Failure>(counts)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut counts = BTreeMap::new();
        for worker in workers {
            let gone = |_| Failure::new("counting panicked");
            counts.extend(worker.join().map_err(gone)??);
        }
        Ok(counts)
    })
}

/// The binary of the hot parts, where cargo has put it.
fn binary() -> Result<PathBuf, Failure> {
    Ok(step::target_directory()?.join("release/hot"))
}

/// How many instructions it takes to do `name` so many times, the start of the process included.
fn collected(valgrind: &Path, hot: &Path, name: &str, times: u64) -> Result<u64, Failure> {
    let run = Command::new(valgrind)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(hot)
        .args([name, &times.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    let number = said.split_once(MARK).and_then(|(_, rest)| {
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
    });
    match number {
        Some(number) if run.status.success() => Ok(number),
        _ => Err(Failure::new(format!("valgrind {name}: {}\n{said}", run.status))),
    }
}
