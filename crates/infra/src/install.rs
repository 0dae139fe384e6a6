//! Programs that servers need: found on this machine, or installed from Debian's packages where
//! we may, with nothing of theirs started.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use crate::{Failure, account::is_root};

/// Services that a package brings are not started while this answers 101.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The folders of `PATH`, and where Debian puts what only root runs.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).collect()
}

/// Where `program` is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    path_folders().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Where valgrind is, if need be after installing it.
///
/// # Errors
/// If it is not here and can't be installed.
pub fn valgrind() -> Result<PathBuf, Failure> {
    find_or_install("valgrind", &["valgrind"], || find("valgrind"))
}

/// Where LLVM's post-link optimizer is, `llvm-bolt` and what belongs to it, if need be after
/// installing it.
///
/// # Errors
/// If it is not here and can't be installed.
pub fn bolt() -> Result<PathBuf, Failure> {
    let find = || ["llvm-bolt-19", "llvm-bolt"].into_iter().find_map(find);
    let found = find_or_install("llvm-bolt", &["bolt-19"], find)?;
    // It looks for its library beside itself, where a link in another folder misleads it.
    let real = fs::canonicalize(found)?;
    real.parent().map(PathBuf::from).ok_or_else(|| Failure::new("llvm-bolt is in no folder"))
}

/// What `find` finds, if need be after installing the first of `packages` that can be had.
pub(crate) fn find_or_install<T>(
    what: &str,
    packages: &[&str],
    find: impl Fn() -> Option<T>,
) -> Result<T, Failure> {
    /// Of this process; other processes wait for dpkg's own lock.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if let Some(found) = find() {
        return Ok(found);
    }
    let names = packages.join(" or ");
    let missing = |why: &str| {
        let message = format!("no {what} here{why}: install it (Debian: apt-get install {names})");
        Failure::new(message)
    };
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(missing(""));
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = find() {
        return Ok(found);
    }
    let installed = install(packages);
    find().ok_or_else(|| match installed {
        Ok(()) => missing(""),
        Err(error) => missing(&format!(", and it can't be installed ({error})")),
    })
}

fn install(packages: &[&str]) -> Result<(), Failure> {
    let no_cluster = Path::new("/etc/postgresql-common/createcluster.d");
    if packages.contains(&"postgresql") {
        fs::create_dir_all(no_cluster)?;
        fs::write(no_cluster.join("no-main.conf"), "create_main_cluster = false\n")?;
    }
    let policy = (!Path::new(POLICY).exists()).then(Policy::set).transpose()?;
    let mut outcome = apt_get(&["update"]);
    for package in packages {
        outcome = apt_get(&["install", "--yes", "--no-install-recommends", package]);
        if outcome.is_ok() {
            break;
        }
    }
    drop(policy);
    outcome
}

/// Keeps services from being started, until dropped.
struct Policy;

impl Policy {
    fn set() -> Result<Self, Failure> {
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        let policy = Self;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        let _or_gone_already = fs::remove_file(POLICY);
    }
}

fn apt_get(args: &[&str]) -> Result<(), Failure> {
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet=2", "-o", "DPkg::Lock::Timeout=120"]).args(args);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    output(&mut apt).map(drop)
}

/// What `command` writes; if it fails, why.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("{name}: cannot start: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{name}: {}\n{}{}", output.status, text, reason.trim_end())))
}

/// The first whole number after `mark`.
pub(crate) fn number_after(text: &str, mark: &str) -> Option<u32> {
    let (_, rest) = text.split_once(mark)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_write_them() {
        let version = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)";
        assert_eq!(number_after(version, "(PostgreSQL) "), Some(15));
        assert_eq!(number_after("postgres (PostgreSQL) 18beta1", "(PostgreSQL) "), Some(18));
        assert_eq!(number_after("Redis server v=7.0.15 sha=0", "v="), Some(7));
        assert_eq!(number_after("openjdk version \"17.0.15\" 2025-04-15", "version \""), Some(17));
        assert_eq!(number_after("psql", "v="), None);
    }
}
