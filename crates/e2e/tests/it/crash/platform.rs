//! The platform as a child process: started, killed, and started again on the same state.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use testkit::SeededIds;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::watch,
    time::{sleep, timeout},
};

use crate::sale::web::Face;

/// How long a start or a stop may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many first starts are killed, and after how many milliseconds at most.
const FALSE_STARTS: u64 = 4;
const FALSE_START_MS: u64 = 120;
const READY: &str = "start here    ";
const LAST_LINE: &str = "ctrl-c stops";
const LOG: &str = "platform.log";

/// A platform that runs as a process of its own, or has just been killed.
pub(super) struct Platform {
    directory: PathBuf,
    values: Vec<(String, String)>,
    running: Option<(Child, Lines<BufReader<ChildStdout>>)>,
    face: watch::Sender<Option<Face>>,
    /// Passwords of the demo accounts by address, as the first start has told them.
    passwords: BTreeMap<String, String>,
}

impl Platform {
    /// A platform that will keep its state under `directory`; nothing runs yet.
    pub(super) fn new(directory: &Path, values: &[(&str, &str)]) -> Self {
        let mut all = boxoffice::demo::free_ports();
        all.extend(values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Self {
            directory: directory.to_owned(),
            values: all,
            running: None,
            face: watch::Sender::new(None),
            passwords: BTreeMap::new(),
        }
    }

    /// Where its databases are.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Where the running platform is; none while there is none.
    pub(super) fn face(&self) -> watch::Receiver<Option<Face>> {
        self.face.subscribe()
    }

    pub(super) fn passwords(&self) -> &BTreeMap<String, String> {
        &self.passwords
    }

    /// Starts the process without waiting for it to be ready.
    pub(super) fn spawn(&mut self) {
        assert!(self.running.is_none(), "one platform at a time");
        let log = OpenOptions::new().create(true).append(true).open(self.directory.join(LOG));
        let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
        command.current_dir(&self.directory).arg("--state").arg(self.state());
        for (key, value) in &self.values {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.unwrap());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.running = Some((child, lines));
    }

    /// Starts it for the first time, after tries that were killed on the way: what they left half
    /// made has to be completed.
    pub(super) async fn first_start(&mut self, dice: &SeededIds) {
        for _ in 0..FALSE_STARTS {
            self.spawn();
            sleep(Duration::from_millis(10 + dice.below(FALSE_START_MS))).await;
            self.kill().await;
            if self.state().join("demo-made").exists() {
                // Complete, and its passwords were told to nobody.
                fs::remove_dir_all(self.state()).unwrap();
            }
        }
        self.start().await;
    }

    /// Starts the process and waits until it says that it is ready.
    pub(super) async fn start(&mut self) {
        self.spawn();
        let gateway = timeout(PATIENCE, self.read_greeting()).await;
        let gateway = gateway.unwrap_or_else(|_| panic!("no greeting in time; {}", self.log()));
        self.face.send_replace(Some(Face::of(vec![gateway]).await));
    }

    /// Reads what the process tells until it is ready; answers the gateway's address.
    async fn read_greeting(&mut self) -> String {
        let mut gateway = None;
        loop {
            let (_, lines) = self.running.as_mut().unwrap();
            let Some(line) = lines.next_line().await.unwrap() else {
                panic!("it ended before it was ready; {}", self.log());
            };
            let line = line.trim();
            if let Some(address) = line.strip_prefix(READY) {
                gateway = Some(address.trim().trim_end_matches('/').to_owned());
            }
            if let [_title, email, password] = *line.split_whitespace().collect::<Vec<_>>()
                && email.contains('@')
            {
                self.passwords.insert(email.to_owned(), password.to_owned());
            }
            if line == LAST_LINE {
                return gateway.unwrap_or_else(|| panic!("no address; {}", self.log()));
            }
        }
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self) {
        self.face.send_replace(None);
        let (mut child, _) = self.running.take().unwrap();
        child.kill().await.unwrap();
    }

    /// Asks the process to stop, and waits until it has.
    pub(super) async fn stop(&mut self) {
        self.face.send_replace(None);
        let (mut child, _lines) = self.running.take().unwrap();
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").arg("-TERM").arg(id).status().await.unwrap().success());
        let ended = timeout(PATIENCE, child.wait()).await.expect("no stop in time").unwrap();
        assert!(ended.success(), "the stop ended with {ended}; {}", self.log());
    }

    /// The end of what the process has logged.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.join(LOG)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        format!("its log ends:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}
