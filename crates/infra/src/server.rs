//! One server: started in its directory, watched over by a guard, ended in every way.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    Failure, Keep,
    account::Account,
    kind::Kind,
    place, probe,
    process::{living_in, signal, works_in},
    wait::{Waited, until},
};

/// How long a server may take to start, and to stop orderly: seconds, but on a starved machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long what a killed server leaves behind (PostgreSQL's backends) may take to go.
const AFTERMATH: Duration = Duration::from_secs(10);
const START_TRIES: u32 = 3;
const LOG_LINES: usize = 30;

/// Waits until the pipe from the owner closes, which happens however the owner ends (also by
/// `SIGKILL`), ends whatever works in the directory, and removes it. It runs in a process group of
/// its own, out of reach of Ctrl-C. The mark `ended` keeps a server from starting just then.
/// PostgreSQL keeps a segment of System V shared memory beside its directory.
const GUARD: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
: >"$1/ended"
working() {
    find /proc -mindepth 2 -maxdepth 2 -name cwd \( -lname "$1" -o -lname "$1/*" \) 2>/dev/null |
        cut -d / -f 3
}
rounds=0
while pids=$(working "$1") && [ -n "$pids" ]; do
    [ "$rounds" -lt 250 ] || set -- "$1" KILL
    kill -s "$2" $pids
    kill -s CONT $pids
    rounds=$((rounds + 1))
    sleep 0.02
done 2>/dev/null
segment=$(sed -n '7s/.* //p' "$1/cluster/postmaster.pid" 2>/dev/null)
[ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null
rm -rf "$1"
"#;

/// A server in its directory, running or not. Unless it was told to be [kept](Keep), it ends when
/// this is dropped, and when the process ends.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    directory: PathBuf,
    port: u16,
    /// What this process started last.
    child: Mutex<Option<Child>>,
    guard: Option<Child>,
    /// Whether the guard is for the time of the start only.
    kept: bool,
}

impl Server {
    /// The server that somebody keeps in `directory`.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("server");
        let text = fs::read_to_string(&path).map_err(|error| Failure::at(&path, &error))?;
        let wrong = || Failure::new(format!("{}: holds no server's name and port", path.display()));
        let (name, port) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let directory = directory.canonicalize()?;
        Ok(Self { kind, directory, port, child: Mutex::new(None), guard: None, kept: true })
    }

    /// A directory for a server, and the guard over it.
    pub(crate) fn new(kind: Kind, keep: &Keep) -> Result<Self, Failure> {
        let account = Account::for_server(kind.account())?;
        let directory = place::new_directory(kind.name(), keep, account)?;
        let guard = Some(guard(kind.end_signal(), &directory, Stdio::piped())?);
        let kept = *keep != Keep::WhileOwned;
        Ok(Self { kind, directory, port: 0, child: Mutex::new(None), guard, kept })
    }

    /// Starts it on a free port. `command` writes its configuration for a port and says what to
    /// execute; another port is taken if somebody took this one meanwhile.
    pub(crate) fn start(
        &mut self,
        command: impl Fn(&Self) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        let mut failure = Failure::new("no port was tried");
        for _ in 0..START_TRIES {
            self.port = place::free_port()?;
            let command = command(self)?;
            let script =
                format!("exec >>log 2>&1\necho $$ >pid\n[ -e ended ] && exit 1\n{command}\n");
            self.write("launch", &script)?;
            self.write("server", &format!("{} {}\n", self.kind.name(), self.port))?;
            match self.launch() {
                Ok(()) => return self.dismiss_guard(),
                Err(error) => failure = error,
            }
            if !living_in(&self.directory).is_empty() {
                break;
            }
        }
        Err(failure)
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), on the same port and in
    /// the same directory, and waits until it is ready. Nothing is done to one that runs.
    ///
    /// # Errors
    /// Why it did not start, with the end of its log.
    pub fn start_again(&self) -> Result<(), Failure> {
        if self.pid().is_some() {
            return self.await_ready();
        }
        self.await_gone(AFTERMATH)?;
        self.launch()
    }

    /// Ends it as a crash does (`SIGKILL`). It is gone when this returns.
    ///
    /// # Errors
    /// If it can't be ended.
    pub fn kill(&self) -> Result<(), Failure> {
        self.signal("KILL")?;
        self.await_gone(AFTERMATH)
    }

    /// Ends it orderly, waiting for none of its clients. It is gone when this returns.
    ///
    /// # Errors
    /// If it does not end within two minutes.
    pub fn stop(&self) -> Result<(), Failure> {
        self.signal(self.kind.stop_signal())?;
        self.await_gone(PATIENCE)
    }

    /// Takes the processor away from all of it, as a hanging machine does.
    ///
    /// # Errors
    /// If it can't be signalled.
    pub fn pause(&self) -> Result<(), Failure> {
        living_in(&self.directory).into_iter().try_for_each(|pid| signal(pid, "STOP"))
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Errors
    /// If it can't be signalled.
    pub fn resume(&self) -> Result<(), Failure> {
        living_in(&self.directory).into_iter().try_for_each(|pid| signal(pid, "CONT"))
    }

    /// Whether it answers as it should, within a second: PostgreSQL a query, a replica while it
    /// streams, Redis `PING`, Kafka with itself as controller and unfenced broker.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.pid().is_some() && probe::ask(self.kind, self.port, &self.directory).is_ok()
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        if let Some(child) = self.child().as_mut() {
            // Reaps it if it ended.
            let _status = child.try_wait();
        }
        let pid = fs::read_to_string(self.directory.join("pid")).ok()?.trim().parse().ok()?;
        works_in(pid, &self.directory).then_some(pid)
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The port it listens on, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where all of it is, its file `log` included.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends it at once and removes its directory.
    ///
    /// # Errors
    /// If something is left behind.
    pub fn remove(mut self) -> Result<(), Failure> {
        self.release();
        clear_by(&self.directory, self.kind.end_signal())
    }

    /// Writes a file in its directory that its account alone reads.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        place::write(&self.directory.join(name), text, Account::owner_of(&self.directory)?)
    }

    /// Makes a directory in its own, for its account.
    pub(crate) fn make_directory(&self, name: &str) -> Result<(), Failure> {
        let path = self.directory.join(name);
        fs::create_dir(&path).map_err(|error| Failure::at(&path, &error))?;
        Account::owner_of(&self.directory)?.map_or(Ok(()), |account| account.own(&path))
    }

    /// A command that runs in its directory, as its account.
    pub(crate) fn command(&self, program: &Path) -> Result<Command, Failure> {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).stdin(Stdio::null());
        if let Some(account) = Account::owner_of(&self.directory)? {
            account.run(&mut command);
        }
        Ok(command)
    }

    fn launch(&self) -> Result<(), Failure> {
        let mut shell = self.command(Path::new("sh"))?;
        shell.arg("launch").stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        *self.child() = Some(shell.spawn()?);
        self.await_ready()
    }

    fn await_ready(&self) -> Result<(), Failure> {
        let mut last = Failure::new("it was not asked");
        let came = until(PATIENCE, || match probe::ask(self.kind, self.port, &self.directory) {
            Ok(()) => Some(true),
            Err(error) => {
                last = error;
                self.ended().then_some(false)
            }
        });
        let reason = match came {
            // Somebody else may have answered on its port.
            Waited::Came(true) if self.pid().is_some() => return Ok(()),
            Waited::Came(_) => "it ended".to_owned(),
            Waited::TooLong => format!("not ready after {} s: {last}", PATIENCE.as_secs()),
        };
        let name = self.kind.name();
        Err(Failure::new(format!("{name} did not start: {reason}\n{}", self.log_tail())))
    }

    /// Whether what was launched last has ended.
    fn ended(&self) -> bool {
        match self.child().as_mut() {
            Some(child) => matches!(child.try_wait(), Ok(Some(_))),
            None => living_in(&self.directory).is_empty(),
        }
    }

    fn await_gone(&self, patience: Duration) -> Result<(), Failure> {
        let gone = || (self.pid().is_none() && living_in(&self.directory).is_empty()).then_some(());
        match until(patience, gone) {
            Waited::Came(()) => Ok(()),
            Waited::TooLong => {
                let (name, seconds) = (self.kind.name(), patience.as_secs());
                Err(Failure::new(format!("{name} has not ended after {seconds} s")))
            }
        }
    }

    fn signal(&self, name: &str) -> Result<(), Failure> {
        self.pid().map_or(Ok(()), |pid| signal(pid, name))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }

    fn dismiss_guard(&mut self) -> Result<(), Failure> {
        if let Some(mut guard) = self.guard.take_if(|_| self.kept) {
            guard.kill()?;
            guard.wait()?;
        }
        Ok(())
    }

    /// Closes the guard's pipe, which is its sign, and waits until it has cleaned up.
    fn release(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        drop(guard.stdin.take());
        let _ended_or_never_ran = guard.wait();
        if let Some(child) = self.child().as_mut() {
            let _reaped = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
    }
}

/// Ends at once whatever works in `directory`, and removes it.
///
/// # Errors
/// If something is left behind.
pub fn clear(directory: &Path) -> Result<(), Failure> {
    if let Ok(directory) = directory.canonicalize() {
        clear_by(&directory, "KILL")?;
    }
    Ok(())
}

fn clear_by(directory: &Path, signal: &str) -> Result<(), Failure> {
    guard(signal, directory, Stdio::null())?.wait()?;
    if directory.exists() {
        return Err(Failure::new(format!("left behind: {}", directory.display())));
    }
    Ok(())
}

/// Starts the guard over `directory`.
pub(crate) fn guard(signal: &str, directory: &Path, sign: Stdio) -> Result<Child, Failure> {
    let guard = Command::new("sh")
        .args([OsStr::new("-c"), OsStr::new(GUARD), OsStr::new("guard")])
        .arg(directory)
        .arg(signal)
        .current_dir("/")
        .stdin(sign)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    guard.map_err(|error| Failure::new(format!("cannot start a shell: {error}")))
}
