//! A process of the binary: started in a directory of its own, which is how its guard knows it.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use infra::{Waited, signal, until};

use crate::Failure;

/// How long stopping may take: what is under way is finished.
const END_TIME: Duration = Duration::from_secs(60);
const ANSWER_TIME: Duration = Duration::from_secs(2);
const LOG_LINES: usize = 12;

/// One process.
pub(super) struct Process {
    pub(super) name: String,
    directory: PathBuf,
    command: Command,
    child: Option<Child>,
    /// Where it says whether it is ready, `host:port`.
    ready: String,
}

impl Process {
    /// A process to be, with the configuration at `config`.
    pub(super) fn new(
        binary: &Path,
        home: &Path,
        (name, config): (&str, &Path),
        arguments: &[&str],
    ) -> Result<Self, Failure> {
        let directory = home.join(name);
        fs::create_dir_all(&directory)?;
        let log = OpenOptions::new().create(true).append(true).open(directory.join("log"))?;
        let mut command = Command::new(binary);
        command.args(arguments).arg("--config").arg(config);
        command.arg("--state").arg(directory.join("state")).current_dir(&directory);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self { name: name.to_owned(), directory, command, child: None, ready: String::new() })
    }

    /// Starts it; at `url` it will say whether it is ready.
    pub(super) fn spawn(mut self, url: &str) -> Result<Self, Failure> {
        self.child = Some(self.command.spawn().map_err(|error| self.failed(&error))?);
        url.trim_start_matches("http://").clone_into(&mut self.ready);
        Ok(self)
    }

    /// Runs it to its end, which must be a good one.
    pub(super) fn succeed(mut self) -> Result<(), Failure> {
        let status = self.command.status().map_err(|error| self.failed(&error))?;
        if status.success() { Ok(()) } else { Err(self.ended(status)) }
    }

    /// Its number, if it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Fails if it has ended.
    pub(super) fn is_there(&mut self) -> Result<(), Failure> {
        let Some(child) = self.child.as_mut() else { return Ok(()) };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Asks it to stop.
    pub(super) fn stop(&self) -> Result<(), Failure> {
        self.pid().map_or(Ok(()), |pid| Ok(signal(pid, "TERM")?))
    }

    /// Waits until it has ended, and fails unless that was a good end.
    pub(super) fn await_end(&mut self) -> Result<(), Failure> {
        let Some(child) = self.child.as_mut() else { return Ok(()) };
        match until(END_TIME, || child.try_wait().transpose()) {
            Waited::Came(status) => match status? {
                status if status.success() => Ok(()),
                status => Err(self.ended(status)),
            },
            Waited::TooLong => {
                let (name, log) = (&self.name, self.log());
                Err(Failure::new(format!("{name} does not stop\n{log}")))
            }
        }
    }

    /// Whether `GET /ready` is answered with 200.
    pub(super) fn is_ready(&self) -> bool {
        let ask = || {
            let address: SocketAddr = self.ready.parse().map_err(std::io::Error::other)?;
            let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME)?;
            stream.set_read_timeout(Some(ANSWER_TIME))?;
            let request = "GET /ready HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
            stream.write_all(request.as_bytes())?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            Ok::<_, std::io::Error>(&status == b"HTTP/1.1 200")
        };
        ask().unwrap_or(false)
    }

    /// Whether it has said this so far.
    pub(super) fn has_said(&self, text: &str) -> bool {
        fs::read_to_string(self.directory.join("log")).is_ok_and(|log| log.contains(text))
    }

    /// The end of what it has logged.
    pub(super) fn log(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }

    fn ended(&self, status: ExitStatus) -> Failure {
        Failure::new(format!("{} ended with {status}\n{}", self.name, self.log()))
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::new(format!("{}: {error}", self.command.get_program().display()))
    }
}
