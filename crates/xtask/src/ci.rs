//! `cargo xtask ci`: all that has to pass, cheapest first; and the thin `cargo xtask bench`.

use crate::{
    step::{self, Failure},
    suite, tidy,
};

/// Runs what `.ci/run` runs. A new gate gets its line here.
pub(crate) fn run() -> Result<(), Failure> {
    step::run("format", &mut step::cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step::run("clippy", &mut step::cargo(&clippy))?;
    step::timed("tidy", tidy::run)?;
    suite::test(&[])
}

/// Runs the benches, in release; `args` are theirs.
pub(crate) fn bench(args: &[String]) -> Result<(), Failure> {
    let mut all = vec!["run", "--locked", "--release", "--package", "bench", "--"];
    all.extend(args.iter().map(String::as_str));
    step::run("bench", &mut step::cargo(&all))
}
