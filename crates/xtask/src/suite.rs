//! `cargo xtask test`: everything the tests need, then all of them, then everything put away again.

use crate::{
    postgres::{Binaries, Server},
    step::{self, Failure},
};

/// Where tests look for their PostgreSQL. Set it to use a server of your own.
const POSTGRES: &str = "BOXOFFICE_TEST_POSTGRES";

/// Runs every suite of the workspace, or what `args` (handed to `cargo test`) choose.
pub(crate) fn test(args: &[String]) -> Result<(), Failure> {
    if let Some(own) = std::env::var_os(POSTGRES) {
        println!("xtask: using the PostgreSQL that {POSTGRES} names");
        return step::run("tests", step::cargo(&cargo_args(args)).env(POSTGRES, own));
    }
    let binaries = step::timed("PostgreSQL binaries", Binaries::find_or_install)?;
    let server = step::timed("private PostgreSQL", || Server::start(&binaries))?;
    println!("xtask: {} in {}", server.url(), server.directory().display());
    let outcome = step::run("tests", step::cargo(&cargo_args(args)).env(POSTGRES, server.url()));
    let stopped = step::timed("stop PostgreSQL", || server.stop());
    outcome.and(stopped)
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
