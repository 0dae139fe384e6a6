//! Who runs a server. PostgreSQL refuses root, and no server needs it.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use crate::Failure;

/// A user and its group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

/// Whether this process is the superuser's.
#[must_use]
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

impl Account {
    /// Whom to step down to: `name`, or else `nobody`. None where this is an ordinary user's
    /// process anyway.
    pub(crate) fn for_server(name: &str) -> Result<Option<Self>, Failure> {
        if !is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd")?;
        let found = find(&passwd, name).or_else(|| find(&passwd, "nobody"));
        found.map(Some).ok_or_else(|| {
            Failure::new(format!("no server runs as root here: add a user {name:?}"))
        })
    }

    /// The owner of `directory`, if it is not us.
    pub(crate) fn owner_of(directory: &Path) -> Result<Option<Self>, Failure> {
        let owner = fs::metadata(directory).map_err(|error| Failure::at(directory, &error))?;
        Ok(is_root().then_some(Self { uid: owner.uid(), gid: owner.gid() }))
    }

    /// Makes `path` theirs.
    pub(crate) fn own(self, path: &Path) -> Result<(), Failure> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(|error| Failure::at(path, &error))
    }

    /// Lets `command` run as them.
    pub(crate) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let same = fields.next()? == name;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        same.then_some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_as_the_system_writes_them() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:107:,,,:/var/lib:/bin/sh\n";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 104, gid: 107 }));
        assert_eq!(find(passwd, "post"), None);
    }
}
