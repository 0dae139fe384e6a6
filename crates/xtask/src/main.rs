//! The project's own tasks: `cargo xtask test | tidy | ci | bench | instructions | release |
//! infra | up | down`. Of our crates this depends on `infra` alone, so that it builds in seconds
//! and can judge all of them.
#![expect(clippy::print_stdout, reason = "a command line tool says what it does on stdout")]
#![expect(clippy::print_stderr, reason = "a command line tool says why it failed on stderr")]

mod ci;
mod home;
mod instructions;
mod processes;
mod release;
mod servers;
mod step;
mod suite;
mod tidy;

use std::process::ExitCode;

use step::Failure;

const USAGE: &str = "\
usage: cargo xtask <task>
  test [cargo test arguments]  every suite, on embedded parts and on private servers
  tidy                         the project's own checks: imports, limits, names, homes
  ci                           all that has to pass: format, clippy, tidy, test, instructions
  bench [arguments]            the benches of bench/, in release; `bench micro` the criterion ones
  instructions [--record]      counts instructions of the hot parts; fails where they grew
  release                      the binary that is given out, compiled by a profile of the first one
  infra up | down | status     PostgreSQL with a replica, Redis and Kafka on this machine
  up [--debug] [--replicas N]  one process per service on top of them
  down                         ends those processes";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match run(&task, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(task: &str, rest: &[String]) -> Result<(), Failure> {
    match task {
        "test" => suite::test(rest),
        "tidy" => tidy::run(),
        "ci" => ci::run(),
        "bench" => ci::bench(rest),
        "instructions" => instructions::run(rest),
        "release" => release::run(rest),
        "infra" => servers::run(rest),
        "up" => processes::up(rest),
        "down" => processes::down(),
        _ => Err(Failure { message: USAGE.to_owned(), code: 2 }),
    }
}
