//! One service as a child process: started, killed, paused, started again where it was.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// How long a start or a stop may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const LOG: &str = "log";
const LOG_LINES: usize = 12;

/// Waits until the pipe from the test closes, which happens however the test ends, ends whatever
/// works in the directory, and removes that unless it is to be kept.
const GUARD: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
while pids=$(find /proc -mindepth 2 -maxdepth 2 -name cwd \( -lname "$1" -o -lname "$1/*" \) \
        2>/dev/null | cut -d / -f 3) && [ -n "$pids" ]; do
    kill -s KILL $pids 2>/dev/null
    sleep 0.05
done
[ -e "$1/keep" ] || rm -rf "$1"
"#;

/// Ends what works in a directory when it is dropped, and when the test is killed.
pub(super) struct Guard {
    shell: std::process::Child,
    directory: PathBuf,
}

impl Guard {
    pub(super) fn over(directory: &Path) -> Self {
        let directory = directory.canonicalize().unwrap();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", GUARD, "guard"]).arg(&directory).current_dir("/").process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { shell: shell.spawn().unwrap(), directory }
    }

    /// Leaves the directory.
    pub(super) fn keep(&self) {
        fs::write(self.directory.join("keep"), "").unwrap();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
    }
}

/// A service that runs as a process of its own, or could.
pub(super) struct Process {
    pub(super) service: &'static str,
    /// From 0.
    pub(super) replica: usize,
    ports: BTreeMap<&'static str, u16>,
    values: Vec<(String, String)>,
    /// Where it works; above it is the configuration.
    directory: PathBuf,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Process {
    pub(super) fn new(
        (service, replica): (&'static str, usize),
        ports: BTreeMap<&'static str, u16>,
        above: &Path,
    ) -> Self {
        let directory = above.join(format!("{service}-{replica}"));
        fs::create_dir(&directory).unwrap();
        let listen =
            ports.iter().map(|(face, port)| (format!("listen.{service}.{face}"), port.to_string()));
        let values = listen.collect();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
        Self { service, replica, ports, values, directory, child: None, http }
    }

    /// Sets a value for this process alone.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.values.push((key.to_owned(), value.to_owned()));
    }

    /// `http://host:port` of a face.
    pub(super) fn url(&self, face: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[face])
    }

    /// Its state directory, of which only the sandbox makes use.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Starts it without waiting for it to be ready.
    pub(super) fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.service);
        let log = OpenOptions::new().create(true).append(true).open(self.directory.join(LOG));
        let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
        command.current_dir(&self.directory).args(["serve", self.service]);
        command.args(["--config", "../boxoffice.toml"]).arg("--state").arg(self.state());
        for (key, value) in &self.values {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap());
        self.child = Some(command.kill_on_drop(true).spawn().unwrap());
    }

    /// Waits until it says that it is ready.
    pub(super) async fn ready(&mut self) {
        let face = if self.ports.contains_key("metrics") { "metrics" } else { "http" };
        let url = format!("{}/ready", self.url(face));
        let give_up = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.as_mut().expect("it was started").try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", self.log());
            let last = match self.http.get(&url).send().await {
                Ok(answer) if answer.status() == 200 => return,
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < give_up, "not ready in time: {last}; {}", self.log());
            sleep(POLL).await;
        }
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self) {
        self.child.take().expect("it runs").kill().await.unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        send(&child, "TERM").await;
        let ended = timeout(PATIENCE, child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("no stop in time: {}", self.log())).unwrap();
        assert!(ended.success(), "the stop ended with {ended}: {}", self.log());
    }

    /// Sends it a signal by name.
    pub(super) async fn signal(&self, name: &str) {
        send(self.child.as_ref().expect("it runs"), name).await;
    }

    /// The end of what it has logged, if anything.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.join(LOG)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        if lines.is_empty() {
            return String::new();
        }
        let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("-- {} {} has logged {} lines:\n{end}\n", self.service, self.replica, lines.len())
    }
}

async fn send(child: &Child, signal: &str) {
    let id = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status().await.unwrap();
    assert!(sent.success(), "{signal}");
}
