//! A guard over processes that are no servers: whoever works in its directory ends with it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use crate::{Failure, server};

/// Watches over a directory. However its owner ends, also by `SIGKILL`, all that works in the
/// directory is killed, and the directory is removed.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
    directory: PathBuf,
}

impl Guard {
    /// Watches over `directory`, which must be there.
    ///
    /// # Errors
    /// If there is no such directory, or no shell can be started.
    pub fn over(directory: &Path) -> Result<Self, Failure> {
        let directory = directory.canonicalize()?;
        let shell = server::guard("KILL", &directory, Stdio::piped())?;
        Ok(Self { shell, directory })
    }

    /// What it watches over.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{Waited, living_in, until};

    #[test]
    fn what_works_in_a_guarded_directory_ends_with_the_guard() {
        let directory = std::env::temp_dir().join(format!("guarded-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let guard = Guard::over(&directory).unwrap();
        let directory = guard.directory().to_owned();
        let mut worker = Command::new("sleep");
        let mut worker = worker.arg("600").current_dir(&directory).spawn().unwrap();
        assert_eq!(living_in(&directory), [worker.id()]);
        drop(guard);
        let patience = std::time::Duration::from_secs(20);
        let ended = until(patience, || worker.try_wait().unwrap());
        assert!(matches!(ended, Waited::Came(status) if !status.success()), "{ended:?}");
        assert!(!directory.exists());
    }
}
