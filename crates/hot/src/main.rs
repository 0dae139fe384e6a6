//! Does a workload so many times, for a tool that counts from outside; or names all workloads.
#![expect(clippy::print_stdout, reason = "what it says is read by the tool that starts it")]
#![expect(clippy::print_stderr, reason = "a command line tool says why it failed on stderr")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => {
            for workload in hot::WORKLOADS {
                println!("{} {}", workload.name, workload.times);
            }
            ExitCode::SUCCESS
        }
        [name, times] => match (hot::find(name), times.parse::<u32>()) {
            (Some(workload), Ok(times)) => {
                let mut once = (workload.prepare)();
                let sum = (0..times).fold(0_u64, |sum, _| sum.wrapping_add(once()));
                println!("{sum}");
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: hot [workload times]; without arguments: the names of all workloads");
    ExitCode::from(2)
}
