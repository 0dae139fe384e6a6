//! Processes as `/proc` tells of them. What belongs to a server works in its directory, which no
//! process that was started by anybody else does; so that is how they are told apart.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::Failure;

/// Every process that works in `directory` or below. A zombie works nowhere: it counts as ended,
/// since not every container's first process reaps.
#[must_use]
pub fn living_in(directory: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| works_in(*pid, directory)).collect()
}

/// Whether process `pid` works in `directory` or below.
pub(crate) fn works_in(pid: u32, directory: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(directory))
}

/// Sends a signal by name (`KILL`); a process that is gone is no failure.
///
/// # Errors
/// If the process is somebody else's.
pub fn signal(pid: u32, name: &str) -> Result<(), Failure> {
    let mut kill = Command::new("sh");
    kill.args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid.to_string()]);
    let status = kill.stdin(Stdio::null()).stderr(Stdio::null()).status()?;
    let gone = || !Path::new(&format!("/proc/{pid}")).exists();
    if status.success() || gone() {
        return Ok(());
    }
    Err(Failure::new(format!("process {pid} can't be sent {name}")))
}
