//! A private PostgreSQL for one run of the tests: found or installed, started in a directory of its
//! own, and gone however the run ends. It never touches a cluster of the machine.

use std::{
    ffi::OsStr,
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::step::Failure;

const OLDEST_MAJOR: u32 = 15;
const START_ATTEMPTS: u32 = 3;
const HOW_TO_GET_IT: &str = "no PostgreSQL 15 or later here: install the server binaries \
     (Debian: apt-get install postgresql), or name a running server in BOXOFFICE_TEST_POSTGRES";

/// Waits until the pipe from xtask closes, which happens however xtask ends (also by SIGKILL), then
/// ends the cluster at once and removes its directory. It runs in a process group of its own, out
/// of reach of Ctrl-C. A zombie counts as ended: not every container's first process reaps.
const GUARD: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
if pid=$(head -n 1 "$1/cluster/postmaster.pid" 2>/dev/null); then
    kill -QUIT "$pid"
    while grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$pid/status" 2>/dev/null; do
        sleep 0.02
    done
fi
rm -rf "$1"
"#;

/// Tests need isolation and speed, not a cluster that outlives a power cut.
const SERVER_SETTINGS: &str = "-F -c full_page_writes=off -c synchronous_commit=off \
    -c max_connections=400 -c shared_buffers=256MB -c max_wal_size=4GB \
    -c listen_addresses=127.0.0.1";

/// A folder with `initdb`, `pg_ctl` and `postgres` of one version.
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    /// The newest usable binaries; installed first where that is possible and needed.
    pub(crate) fn find_or_install() -> Result<Self, Failure> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
            return Err(Failure::new(HOW_TO_GET_IT));
        }
        install()?;
        Self::find().ok_or_else(|| Failure::new(HOW_TO_GET_IT))
    }

    fn find() -> Option<Self> {
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let usable = folders.into_iter().filter_map(|folder| Some((major(&folder)?, folder)));
        let newest = usable.max_by_key(|(major, _)| *major)?;
        (newest.0 >= OLDEST_MAJOR).then_some(Self(newest.1))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn major(folder: &Path) -> Option<u32> {
    let complete = ["initdb", "pg_ctl"].iter().all(|name| folder.join(name).is_file());
    if !complete {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    parse_major(&String::from_utf8(output.stdout).ok()?)
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15.
fn parse_major(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("(PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Installs Debian's server package, told before not to make and start a cluster of its own.
fn install() -> Result<(), Failure> {
    let no_cluster = Path::new("/etc/postgresql-common/createcluster.d");
    fs::create_dir_all(no_cluster)?;
    fs::write(no_cluster.join("no-main.conf"), "create_main_cluster = false\n")?;
    apt_get("update", &[])?;
    apt_get("install", &["--yes", "--no-install-recommends", "postgresql"])
}

fn apt_get(verb: &str, args: &[&str]) -> Result<(), Failure> {
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet=2", verb]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    let status = apt.status()?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("apt-get {verb}: {status}; {HOW_TO_GET_IT}")))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// A user and its group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

/// Who runs the server: PostgreSQL refuses root, so root steps down to `postgres`, or else to
/// `nobody`.
fn server_account() -> Result<Option<Account>, Failure> {
    if !is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    let found = account(&passwd, "postgres").or_else(|| account(&passwd, "nobody"));
    found.map(Some).ok_or_else(|| Failure::new("PostgreSQL refuses root: add a user `postgres`"))
}

fn account(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let same = fields.next()? == name;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        same.then_some(Account { uid, gid })
    })
}

/// A running cluster. Dropping it ends it, as does the end of this process.
pub(crate) struct Server {
    guard: Child,
    directory: PathBuf,
    port: u16,
}

impl Server {
    /// Makes and starts a cluster on a free port of the loopback interface, with trust for all who
    /// reach it.
    pub(crate) fn start(binaries: &Binaries) -> Result<Self, Failure> {
        let account = server_account()?;
        let directory = new_directory(account)?;
        let guard = Command::new("sh")
            .args([OsStr::new("-c"), OsStr::new(GUARD), OsStr::new("guard")])
            .arg(&directory)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mut server = Self { guard, directory, port: 0 };
        server.initialise(binaries, account)?;
        for _ in 0..START_ATTEMPTS {
            server.port = free_port()?;
            if server.launch(binaries, account)? {
                return Ok(server);
            }
        }
        let log = fs::read_to_string(server.directory.join("log")).unwrap_or_default();
        Err(Failure::new(format!("the private PostgreSQL did not start:\n{log}")))
    }

    /// The address of its maintenance database; a test makes its own database beside it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Where all of it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends it, and says whether nothing is left behind.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.release();
        if self.directory.exists() {
            return Err(Failure::new(format!("left behind: {}", self.directory.display())));
        }
        Ok(())
    }

    fn initialise(&self, binaries: &Binaries, account: Option<Account>) -> Result<(), Failure> {
        let output = self
            .as_account(&binaries.program("initdb"), account)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"])
            .args(["--no-sync", "--pgdata=cluster"])
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(format!("initdb: {}\n{reason}", output.status)))
    }

    /// Starts the server and waits until it answers; false if it could not (say, the port was taken
    /// meanwhile).
    fn launch(&self, binaries: &Binaries, account: Option<Account>) -> Result<bool, Failure> {
        let sockets = self.directory.display();
        let options = format!("{SERVER_SETTINGS} -p {} -k {sockets}", self.port);
        let status = self
            .as_account(&binaries.program("pg_ctl"), account)
            .args(["start", "--wait", "--timeout=60", "--pgdata=cluster", "--log=log"])
            .args(["--options", &options])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(status.success())
    }

    fn as_account(&self, program: &Path, account: Option<Account>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).stdin(Stdio::null());
        if let Some(Account { uid, gid }) = account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Closes the guard's pipe, which is its sign, and waits until it has cleaned up.
    fn release(&mut self) {
        drop(self.guard.stdin.take());
        let _ended_or_never_ran = self.guard.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
    }
}

/// A fresh directory that only its owner enters; the process id and a number make its name.
fn new_directory(account: Option<Account>) -> Result<PathBuf, Failure> {
    let pid = std::process::id();
    for number in 0..1_000 {
        let path = std::env::temp_dir().join(format!("boxoffice-postgres-{pid}-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error.into()),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        if let Some(Account { uid, gid }) = account {
            chown(&path, Some(uid), Some(gid))?;
        }
        return Ok(path);
    }
    Err(Failure::new("no free name for a temporary directory"))
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn versions_and_accounts_are_read_as_the_system_writes_them() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("psql"), None);
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:107:,,,:/var/lib:/bin/sh\n";
        assert_eq!(account(passwd, "postgres"), Some(Account { uid: 104, gid: 107 }));
        assert_eq!(account(passwd, "post"), None);
    }

    #[test]
    fn a_private_server_answers_and_leaves_nothing_behind() {
        let binaries = Binaries::find_or_install().expect("PostgreSQL binaries");
        let server = Server::start(&binaries).expect("a running server");
        let (directory, port) = (server.directory().to_path_buf(), server.port);
        let knock = || TcpStream::connect(("127.0.0.1", port));
        knock().expect("a listening server");
        server.stop().expect("nothing left behind");
        assert!(knock().is_err() && !directory.exists());
    }
}
