//! A private PostgreSQL cluster from installed binaries, gone however the process ends.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const HOW_TO_GET_IT: &str = "no PostgreSQL 15 or later found: install the server's binaries \
     (Debian: apt-get install postgresql), or put the url of a running server in \
     BOXOFFICE_TEST_POSTGRES";
const OLDEST_MAJOR: u32 = 15;
const START_TRIES: u32 = 3;

/// Makes and starts the cluster, says so, and waits until the pipe from us closes, which happens
/// however we end; then ends the cluster and removes its directory.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
bin=$2
options=$3
cd "$1" || exit 1
if "$bin/initdb" --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync \
        --pgdata=cluster >init.log 2>&1 </dev/null &&
    "$bin/pg_ctl" start --wait --timeout=60 --pgdata=cluster --log=server.log \
        --options="$options" >start.log 2>&1 </dev/null
then
    echo ready
    cat >/dev/null
    "$bin/pg_ctl" stop --mode=immediate --pgdata=cluster >/dev/null 2>&1
else
    cat init.log start.log server.log 2>/dev/null
fi
cd /
rm -rf "$1"
"#;

/// How the server is to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether a commit is flushed to disk. Off is faster, and nothing for a test of durability.
    pub fsync: bool,
    /// The most connections.
    pub max_connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { fsync: true, max_connections: 200 }
    }
}

/// A running cluster. It ends when this is dropped, and when the process ends, be it by `SIGKILL`.
#[derive(Debug)]
pub struct Cluster {
    /// The url of its maintenance database; everyone who reaches it is let in as `postgres`.
    pub url: String,
    guard: Child,
}

impl Cluster {
    /// Starts one with the usual options, which takes about a second.
    ///
    /// # Errors
    /// Why there is none, and how to get the binaries if they are missing.
    pub fn start() -> Result<Self, String> {
        Self::start_with(Options::default())
    }

    /// Starts one on a free port of the loopback interface.
    ///
    /// # Errors
    /// Why there is none, and how to get the binaries if they are missing.
    pub fn start_with(options: Options) -> Result<Self, String> {
        let binaries = newest_binaries().ok_or(HOW_TO_GET_IT)?;
        let mut failure = String::new();
        for _ in 0..START_TRIES {
            match Self::try_start(&binaries, options) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => failure = error,
            }
        }
        Err(format!("a private postgresql did not start: {failure}"))
    }

    fn try_start(binaries: &Path, options: Options) -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix("boxoffice-postgres-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|socket| socket.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let fsync = if options.fsync { "on" } else { "off" };
        let server_options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections={} -c fsync={fsync} \
             -c shared_buffers=128MB -c max_wal_size=2GB -c log_min_messages=fatal",
            directory.path().display(),
            options.max_connections,
        );
        let mut shell = Command::new("sh");
        shell
            .args([OsStr::new("-c"), OsStr::new(SCRIPT), OsStr::new("cluster")])
            .args([directory.path().as_os_str(), binaries.as_os_str(), OsStr::new(&server_options)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0); // out of reach of a Ctrl-C that ends us
        if is_root() {
            let (uid, gid) = server_account()?;
            chown(directory.path(), Some(uid), Some(gid)).map_err(|error| error.to_string())?;
            shell.uid(uid).gid(gid);
        }
        let mut guard = shell.spawn().map_err(|error| error.to_string())?;
        let _the_script_removes_it = directory.keep();
        await_ready(&mut guard)?;
        Ok(Self { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), guard })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ended = self.guard.wait();
    }
}

fn await_ready(guard: &mut Child) -> Result<(), String> {
    let mut output = BufReader::new(guard.stdout.take().ok_or("the shell has no output")?);
    let mut text = String::new();
    output.read_line(&mut text).map_err(|error| error.to_string())?;
    if text == "ready\n" {
        return Ok(());
    }
    output.read_to_string(&mut text).map_err(|error| error.to_string())?;
    Err(text)
}

fn newest_binaries() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let usable = folders.into_iter().filter_map(|folder| Some((major(&folder)?, folder)));
    let (newest, folder) = usable.max_by_key(|(major, _)| *major)?;
    (newest >= OLDEST_MAJOR).then_some(folder)
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15.
fn major(folder: &Path) -> Option<u32> {
    if !["initdb", "pg_ctl"].iter().all(|name| folder.join(name).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, number) = text.split_once("(PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The user and group to step down to, as PostgreSQL refuses root.
fn server_account() -> Result<(u32, u32), String> {
    let passwd = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let account = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let same = fields.next()? == name;
            let ids = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            same.then_some(ids)
        })
    };
    account("postgres")
        .or_else(|| account("nobody"))
        .ok_or_else(|| "postgresql refuses root: add a user `postgres`".to_owned())
}
