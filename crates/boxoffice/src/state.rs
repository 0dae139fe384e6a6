//! The state directory: made where it is missing, and used by one process at a time.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::StartError;

const LOCK: &str = "lock";

/// A state directory that this process holds; let go when dropped.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Takes the directory, making it where it is missing.
    ///
    /// # Errors
    /// If it can't be written, or another process holds it.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        let failed = |error: std::io::Error| StartError::state(path, &error);
        // Databases hold mails and personal data: for the owner's eyes only.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock = File::create(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(StartError::state(&path, &"in use by another process"))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = StateDirectory::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let refused = StateDirectory::open(&path).unwrap_err().to_string();
        assert!(refused.contains("in use by another process"), "{refused}");
        drop(first);
        assert!(StateDirectory::open(&path).is_ok());
    }

    #[test]
    fn a_file_in_its_place_is_a_clear_error() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        fs::write(&path, "").unwrap();
        assert!(StateDirectory::open(&path).is_err());
    }
}
