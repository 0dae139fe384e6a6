//! Where a server lives: a directory that only its account enters, and a port.

use std::{
    fs,
    io::{ErrorKind, Read as _},
    net::TcpListener,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{Failure, account::Account};

/// How long a server is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keep {
    /// In a temporary directory; gone with its value, or with this process however that ends.
    #[default]
    WhileOwned,
    /// In this directory, which must not be there yet. It runs on until
    /// [`remove`](crate::Server::remove) is called on it, by this process or another.
    In(PathBuf),
}

/// Below those that systems give to outgoing connections: while a server is down, nobody who
/// knocks at its port may be given that very port to knock from.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_TRIES: u32 = 100;

/// A port of the loopback interface that nobody listens on now.
///
/// # Errors
/// If a hundred ports are all taken.
pub fn free_port() -> Result<u16, Failure> {
    for _ in 0..PORT_TRIES {
        let mut random = [0; 2];
        fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let port = PORTS.start + u16::from_le_bytes(random) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new(format!("no free port between {} and {}", PORTS.start, PORTS.end)))
}

/// As many random bytes, as hex digits.
///
/// # Errors
/// If the system gives none.
pub fn random_hex(bytes: usize) -> Result<String, Failure> {
    let mut random = vec![0; bytes];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a socket may be at this path: the system takes no longer one (`sun_path` of unix(7)).
pub(crate) fn fits_socket(path: &Path) -> bool {
    path.as_os_str().len() < 108
}

/// Makes the directory of a server called `name`, for `account` alone.
pub(crate) fn new_directory(
    name: &str,
    keep: &Keep,
    account: Option<Account>,
) -> Result<PathBuf, Failure> {
    let path = match keep {
        Keep::In(path) => {
            make_private(path).map_err(|error| Failure::at(path, &error))?;
            path.clone()
        }
        Keep::WhileOwned => temporary(name)?,
    };
    let path = path.canonicalize().map_err(|error| Failure::at(&path, &error))?;
    if let Some(account) = account {
        account.own(&path)?;
    }
    Ok(path)
}

fn temporary(name: &str) -> Result<PathBuf, Failure> {
    let (temp, pid) = (std::env::temp_dir(), std::process::id());
    for number in 0..1_000 {
        let path = temp.join(format!("boxoffice-{name}-{pid}-{number}"));
        match make_private(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::at(&path, &error)),
        }
    }
    Err(Failure::new(format!("no free name for a directory in {}", temp.display())))
}

fn make_private(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Writes a file that `account` alone reads.
pub(crate) fn write(path: &Path, text: &str, account: Option<Account>) -> Result<(), Failure> {
    let failed = |error| Failure::at(path, &error);
    fs::write(path, "").map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    fs::write(path, text).map_err(failed)?;
    account.map_or(Ok(()), |account| account.own(path))
}
