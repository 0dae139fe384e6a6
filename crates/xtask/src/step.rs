//! One step of a task: a command that is announced, timed, and whose exit code is kept.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// Why a task ended: one line for people, an exit code for machines.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What went wrong, and where it helps, what to do about it.
    pub(crate) message: String,
    /// The exit code of this process; a failed command's own where there was one.
    pub(crate) code: u8,
}

impl Failure {
    /// A failure with the ordinary exit code.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<infra::Failure> for Failure {
    fn from(failure: infra::Failure) -> Self {
        Self::new(failure.to_string())
    }
}

/// The root of this checkout, from where this crate was built.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}

/// Where cargo puts what it builds of this checkout.
pub(crate) fn target_directory() -> Result<PathBuf, Failure> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec();
    let metadata = metadata.map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
    Ok(metadata.target_directory.into())
}

/// The cargo that runs us, in the root of the checkout.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs `command` with its output passed through, between two lines that say what and how long.
pub(crate) fn run(title: &str, command: &mut Command) -> Result<(), Failure> {
    timed(title, || {
        let status = command
            .status()
            .map_err(|error| Failure::new(format!("{title}: cannot start: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        Err(Failure { message: format!("{title}: {status}"), code })
    })
}

/// Announces a step, does it, and says how long it took.
pub(crate) fn timed<T>(
    title: &str,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    println!("xtask: {title}");
    let (result, took) = measured(work);
    let end = if result.is_ok() { "done" } else { "failed" };
    println!("xtask: {title}: {end} in {:.1} s", took.as_secs_f64());
    result
}

#[expect(clippy::disallowed_methods, reason = "times a command for a person; no clock to drive")]
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
