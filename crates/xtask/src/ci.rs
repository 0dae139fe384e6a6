//! `cargo xtask ci`: all that has to pass, cheapest first; and the thin `cargo xtask bench`.

use crate::{
    instructions,
    step::{self, Failure},
    suite, tidy,
};

/// Runs what `.ci/run` runs. A new gate gets its line here.
pub(crate) fn run() -> Result<(), Failure> {
    step::run("format", &mut step::cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step::run("clippy", &mut step::cargo(&clippy))?;
    step::timed("tidy", tidy::run)?;
    suite::test(&[])?;
    instructions::run(&[])
}

/// Runs the benches, in release; `args` are theirs. `micro` are criterion's.
pub(crate) fn bench(args: &[String]) -> Result<(), Failure> {
    let words = args.iter().map(String::as_str).filter(|word| *word != "--");
    let mut words = words.peekable();
    if words.next_if_eq(&"micro").is_some() {
        let mut all = vec!["bench", "--locked", "--package", "bench", "--bench", "micro", "--"];
        all.extend(words);
        return step::run("bench", &mut step::cargo(&all));
    }
    let mut all = vec!["run", "--locked", "--release", "--package", "bench", "--"];
    all.extend(args.iter().map(String::as_str));
    step::run("bench", &mut step::cargo(&all))
}
