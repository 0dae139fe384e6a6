//! Where what `infra up` and `up` start is kept: a directory of this checkout's own, outside the
//! checkout, since the accounts that servers run as may not enter everybody's home.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::step::{self, Failure};

/// Where it is, there or not.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    let temp = std::env::temp_dir().canonicalize()?;
    let uid = fs::metadata("/proc/self")?.uid();
    let checkout = fnv(step::root().as_os_str().as_encoded_bytes());
    Ok(temp.join(format!("boxoffice-infra-{uid}-{checkout:08x}")))
}

/// Makes it where it is missing. Others may pass through it, not write to it.
pub(crate) fn make() -> Result<PathBuf, Failure> {
    let path = path()?;
    match fs::DirBuilder::new().mode(0o755).create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::new(format!("{}: {error}", path.display()))),
    }
    let (found, me) = (fs::symlink_metadata(&path)?, fs::metadata("/proc/self")?);
    if found.is_dir() && found.uid() == me.uid() && found.mode() & 0o022 == 0 {
        return Ok(path);
    }
    Err(Failure::new(format!("{} is somebody else's", path.display())))
}

/// Keeps other tasks from starting and ending things in `home` until the file is dropped.
pub(crate) fn hold(home: &Path) -> Result<fs::File, Failure> {
    let path = home.join("lock");
    let failed = |error| Failure::new(format!("{}: {error}", path.display()));
    let file = fs::File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(Failure::new(format!("another cargo xtask is at work in {}", home.display())))
        }
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Writes a file that only its owner reads: it may hold secrets.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", path.display()));
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&part);
    std::io::Write::write_all(&mut file.map_err(failed)?, text.as_bytes()).map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
}

/// The end of a process's log.
pub(crate) fn log_tail(directory: &Path) -> String {
    let log = fs::read(directory.join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

/// A short name for a path, the same every time.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
