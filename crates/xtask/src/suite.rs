//! `cargo xtask test`: everything the tests need, then all of them, then everything put away again.

use std::thread;

use infra::{Kafka, KafkaOptions, Postgres, PostgresOptions, Redis, RedisOptions, Server};

use crate::step::{self, Failure};

/// A server that all suites share, and where tests look for it. Set the variable to use a server of
/// your own.
struct Part {
    variable: &'static str,
    title: &'static str,
    start: fn() -> Result<(Server, String), infra::Failure>,
}

/// Tests need isolation and speed, not servers that outlive a power cut.
const PARTS: [Part; 3] = [
    Part { variable: "BOXOFFICE_TEST_POSTGRES", title: "PostgreSQL", start: postgres },
    Part { variable: "BOXOFFICE_TEST_REDIS", title: "Redis", start: redis },
    Part { variable: "BOXOFFICE_TEST_KAFKA", title: "Kafka", start: kafka },
];

fn postgres() -> Result<(Server, String), infra::Failure> {
    let options =
        PostgresOptions { fsync: false, max_connections: 400, ..PostgresOptions::default() };
    let postgres = Postgres::start(&options)?;
    let url = postgres.url();
    Ok((postgres.into_server(), url))
}

fn redis() -> Result<(Server, String), infra::Failure> {
    let redis = Redis::start(&RedisOptions::default())?;
    let url = redis.url();
    Ok((redis.into_server(), url))
}

fn kafka() -> Result<(Server, String), infra::Failure> {
    let kafka = Kafka::start(&KafkaOptions::default())?;
    let brokers = kafka.brokers();
    Ok((kafka.into_server(), brokers))
}

/// Runs every suite of the workspace, or what `args` (handed to `cargo test`) choose.
pub(crate) fn test(args: &[String]) -> Result<(), Failure> {
    let named = |part: &&Part| std::env::var_os(part.variable).is_some_and(|at| !at.is_empty());
    let (given, missing): (Vec<&Part>, Vec<&Part>) = PARTS.iter().partition(named);
    for part in given {
        println!("xtask: using the {} that {} names", part.title, part.variable);
    }
    let servers = start(&missing)?;
    let mut tests = step::cargo(&cargo_args(args));
    for (part, _, address) in &servers {
        tests.env(part.variable, address);
    }
    let outcome = step::run("tests", &mut tests);
    if servers.is_empty() {
        return outcome;
    }
    let stop = |(_, server, _): (_, Server, _)| server.remove();
    let stopped = step::timed("stop the servers", || Ok(servers.into_iter().try_for_each(stop)?));
    outcome.and(stopped)
}

/// All at once: they wait more than they work. If one fails, dropping ends the others.
fn start<'a>(parts: &[&'a Part]) -> Result<Vec<(&'a Part, Server, String)>, Failure> {
    thread::scope(|scope| {
        let start = |part: &&'a Part| {
            let part = *part;
            let title = format!("private {}", part.title);
            let start = move || step::timed(&title, || Ok((part.start)()?));
            (part, scope.spawn(start))
        };
        let starting: Vec<_> = parts.iter().map(start).collect();
        let done = starting.into_iter().map(|(part, thread)| {
            let gone = |_| Failure::new(format!("starting {} panicked", part.title));
            let (server, address) = thread.join().map_err(gone)??;
            println!("xtask: {}: {address} in {}", part.title, server.directory().display());
            Ok((part, server, address))
        });
        done.collect()
    })
}

/// The whole workspace unless packages are named; no suite hides behind another's failure.
fn cargo_args(args: &[String]) -> Vec<&str> {
    let picks = |arg: &String| {
        let arg = arg.as_str();
        arg.starts_with("-p") || arg.starts_with("--package") || arg == "--workspace"
    };
    let own: Vec<&String> = args.iter().take_while(|arg| *arg != "--").collect();
    let mut all = vec!["test", "--locked", "--no-fail-fast"];
    if !own.into_iter().any(picks) {
        all.push("--workspace");
    }
    all.extend(args.iter().map(String::as_str));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &[&str]) -> Vec<String> {
        text.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_packages_are_named() {
        let all = ["test", "--locked", "--no-fail-fast", "--workspace"];
        assert_eq!(cargo_args(&[]), all);
        assert_eq!(cargo_args(&args(&["seat"])), [&all[..], &["seat"]].concat());
        assert_eq!(cargo_args(&args(&["--", "-p"])), [&all[..], &["--", "-p"]].concat());
        for named in [&["-p", "db"][..], &["-pdb"], &["--package=db"]] {
            assert_eq!(cargo_args(&args(named)), [&all[..3], named].concat());
        }
    }
}
