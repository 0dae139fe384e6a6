//! `cargo xtask up | down`: the platform as one process per service, on the servers of `infra up`,
//! on the ports that DESIGN gives them. Each works in a directory of its own; that is how `down`
//! knows them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use infra::{Waited, living_in, until};

use crate::{
    home, servers,
    step::{self, Failure},
};

const CONFIGURATION: &str = "processes.toml";
/// How long all processes together may take to be ready.
const READY_TIME: Duration = Duration::from_secs(120);
/// How long whoever has a port may take to leave it.
const PORT_TIME: Duration = Duration::from_secs(2);
/// How long one may take to end by itself: a little more than its own limit.
const DRAIN_TIME: Duration = Duration::from_secs(15);
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Whoever comes, comes from this one machine: a crowd must fit into one address.
const ROOMY_LIMITS: &str = "visitor_burst = 100000\nvisitor_per_minute = 100000\n\
    account_burst = 100000\naccount_per_minute = 100000\n\
    sign_in_burst = 100000\nsign_in_per_minute = 100000\n";
const MOST_REPLICAS: u16 = 9;

/// A service: its faces with the ports of its first process, and whether `--replicas` multiplies
/// it.
struct Service {
    name: &'static str,
    ports: &'static [(&'static str, u16)],
    replicated: bool,
}

const fn service(
    name: &'static str,
    ports: &'static [(&'static str, u16)],
    replicated: bool,
) -> Service {
    Service { name, ports, replicated }
}

/// In the order of their start; the last face of each says whether it is ready.
const SERVICES: [Service; 11] = [
    service(SANDBOX, &[("http", 12_111)], false),
    service("auth", &[("grpc", 50_051), ("metrics", 9091)], false),
    service("user", &[("grpc", 50_052), ("metrics", 9092)], false),
    service("ticket", &[("grpc", 50_055), ("metrics", 9096)], true),
    service("event", &[("grpc", 50_054), ("metrics", 9095)], false),
    service("payment", &[("grpc", 50_058), ("http", 8081)], true),
    service("booking", &[("grpc", 50_056), ("http", 8080)], true),
    service("realtime", &[("grpc", 50_057), ("http", 3003), ("metrics", 9057)], true),
    service("booking-worker", &[("grpc", 50_059), ("metrics", 9093)], true),
    service("email-worker", &[("grpc", 50_060), ("http", 8082), ("metrics", 9094)], true),
    service("gateway", &[("http", 3000), ("metrics", 9090)], true),
];
const SANDBOX: &str = "stripe-sandbox";

/// One process to be.
struct Process {
    name: &'static str,
    /// From 1.
    number: u16,
    ports: Vec<(&'static str, u16)>,
}

impl Process {
    fn port(&self, face: &str) -> Option<u16> {
        self.ports.iter().find(|(name, _)| *name == face).map(|(_, port)| *port)
    }

    fn directory(&self, home: &Path) -> PathBuf {
        home.join("processes").join(format!("{}-{}", self.name, self.number))
    }

    fn is_ready(&self) -> bool {
        self.ports.last().is_some_and(|(_, port)| says_ready(*port))
    }
}

struct Args {
    release: bool,
    replicas: u16,
}

/// Builds the binary, starts what does not run, and waits until all is ready.
pub(crate) fn up(args: &[String]) -> Result<(), Failure> {
    let args = parse(args)?;
    let home = home::path()?;
    if !servers::are_ready(&home) {
        return Err(Failure::new("the servers are not ready: cargo xtask infra up"));
    }
    let binary = build(args.release)?;
    let _alone = home::hold(&home)?;
    let running = kept(&home)?;
    let fresh = running.is_empty();
    let processes = if fresh { plan(args.replicas)? } else { running };
    if fresh {
        write_plan(&home, &processes)?;
        let mut migrate = boxoffice(&binary, &home);
        step::run("migrate", migrate.arg("migrate"))?;
    }
    start_ended(&processes, &home, &binary)?;
    step::timed("processes", || await_ready(&processes, &home))?;
    step::run("seed", boxoffice(&binary, &home).arg("seed"))?;
    for process in &processes {
        println!("{}", line(process, "ready"));
    }
    println!("\nxtask: http://127.0.0.1:3000/ is the gateway, {} holds the logs", home.display());
    println!("xtask: try: {} demo --against http://127.0.0.1:3000", binary.display());
    Ok(())
}

/// Ends all processes, the gateway first.
pub(crate) fn down() -> Result<(), Failure> {
    let home = home::path()?;
    if are_kept(&home) {
        let _alone = home::hold(&home)?;
        return end(&home);
    }
    println!("xtask: no processes are up");
    Ok(())
}

/// Whether an `up` was not followed by a `down`.
pub(crate) fn are_kept(home: &Path) -> bool {
    home.join("processes").exists()
}

/// Ends all processes that are kept in `home`.
pub(crate) fn end(home: &Path) -> Result<(), Failure> {
    step::timed("stop the processes", || {
        for process in kept(home)?.iter().rev() {
            stop(process, &process.directory(home))?;
        }
        infra::clear(&home.join("processes"))?;
        let _or_never_written = fs::remove_file(home.join(CONFIGURATION));
        Ok(())
    })
}

/// Says how each process is; true if none is amiss.
pub(crate) fn status(home: &Path) -> bool {
    let mut all_ready = true;
    for process in kept(home).unwrap_or_default() {
        let state = match living_in(&process.directory(home))[..] {
            [] => "ended",
            _ if process.is_ready() => "ready",
            _ => "not ready",
        };
        all_ready &= state == "ready";
        println!("{}", line(&process, state));
    }
    all_ready
}

fn line(process: &Process, state: &str) -> String {
    let ports = process.ports.iter().fold(String::new(), |mut text, (face, port)| {
        let _infallible = write!(text, "  {face} 127.0.0.1:{port}");
        text
    });
    format!("{:<18} {state:<10}{ports}", format!("{} {}", process.name, process.number))
}

fn parse(args: &[String]) -> Result<Args, Failure> {
    let usage = "usage: cargo xtask up [--debug] [--replicas N], with N from 1 to 9";
    let usage = || Failure { message: usage.to_owned(), code: 2 };
    let mut parsed = Args { release: true, replicas: 1 };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--debug" => parsed.release = false,
            "--replicas" => {
                let count = args.next().and_then(|count| count.parse().ok());
                parsed.replicas =
                    count.filter(|n| (1..=MOST_REPLICAS).contains(n)).ok_or_else(usage)?;
            }
            _ => return Err(usage()),
        }
    }
    Ok(parsed)
}

fn build(release: bool) -> Result<PathBuf, Failure> {
    let mut args = vec!["build", "--locked", "--package", "boxoffice"];
    args.extend(release.then_some("--release"));
    step::run("build", &mut step::cargo(&args))?;
    let profile = if release { "release" } else { "debug" };
    Ok(step::target_directory()?.join(profile).join("boxoffice"))
}

/// Replicas beside the first take free ports.
fn plan(replicas: u16) -> Result<Vec<Process>, Failure> {
    let mut processes = Vec::new();
    for service in &SERVICES {
        for number in 1..=if service.replicated { replicas } else { 1 } {
            let port = |(face, port): &(&'static str, u16)| match number {
                1 => Ok((*face, *port)),
                _ => Ok((*face, infra::free_port()?)),
            };
            let ports = service.ports.iter().map(port).collect::<Result<_, Failure>>()?;
            processes.push(Process { name: service.name, number, ports });
        }
    }
    Ok(processes)
}

/// Remembers the processes in their directories, and writes what all of them read.
fn write_plan(home: &Path, processes: &[Process]) -> Result<(), Failure> {
    let servers = fs::read_to_string(home.join(servers::CONFIGURATION))?;
    home::write(&home.join(CONFIGURATION), &(servers + &shared(processes)))?;
    for process in processes {
        let directory = process.directory(home);
        fs::create_dir_all(&directory)?;
        let line = |(face, port): &(&str, u16)| format!("{face} {port}\n");
        home::write(&directory.join("ports"), &process.ports.iter().map(line).collect::<String>())?;
    }
    Ok(())
}

/// Where processes find each other.
fn shared(processes: &[Process]) -> String {
    let mut remotes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for process in processes {
        if let Some(port) = process.port("grpc") {
            let address = format!("\"http://127.0.0.1:{port}\"");
            remotes.entry(process.name).or_default().push(address);
        }
    }
    let mut text = "\n[remotes]\n".to_owned();
    for (name, addresses) in remotes {
        let _infallible = writeln!(text, "{name} = [{}]", addresses.join(", "));
    }
    let http = |name: &str| {
        let first = processes.iter().find(|process| process.name == name);
        format!("127.0.0.1:{}", first.and_then(|its| its.port("http")).unwrap_or_default())
    };
    let (sandbox, payment, realtime) = (http(SANDBOX), http("payment"), http("realtime"));
    let _infallible = write!(
        text,
        "\n[payment]\nstripe_api_base = \"http://{sandbox}\"\n\
         \n[gateway]\npayment_api_base = \"http://{sandbox}\"\n\
         realtime_url = \"ws://{realtime}/ws\"\n{ROOMY_LIMITS}\
         \n[stripe-sandbox]\nwebhook_url = \"http://{payment}/webhooks/stripe\"\n"
    );
    text
}

/// The processes that an `up` before this remembered.
fn kept(home: &Path) -> Result<Vec<Process>, Failure> {
    let mut processes = Vec::new();
    for service in &SERVICES {
        for number in 1..=MOST_REPLICAS {
            let mut process = Process { name: service.name, number, ports: Vec::new() };
            let path = process.directory(home).join("ports");
            let Ok(text) = fs::read_to_string(&path) else { break };
            let port = |(face, _): &(&'static str, u16)| {
                let line = text.lines().find_map(|line| line.strip_prefix(face)?.strip_prefix(' '));
                let port = line.and_then(|port| port.parse().ok());
                let wrong = || Failure::new(format!("{}: {face} is missing", path.display()));
                Ok((*face, port.ok_or_else(wrong)?))
            };
            process.ports = service.ports.iter().map(port).collect::<Result<_, Failure>>()?;
            processes.push(process);
        }
    }
    Ok(processes)
}

/// What only the sandbox keeps, its ledger, outlives the processes, as the databases do.
fn boxoffice(binary: &Path, home: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("--config").arg(home.join(CONFIGURATION)).current_dir(home);
    command.arg("--state").arg(home.join("state"));
    command
}

/// The ports lie where systems take those of outgoing connections from. So all of them are held
/// until their process starts: none that started before it can take one for a connection of its.
fn start_ended(processes: &[Process], home: &Path, binary: &Path) -> Result<(), Failure> {
    let ended = |process: &&Process| living_in(&process.directory(home)).is_empty();
    let held = processes.iter().filter(ended).map(|process| Ok((process, hold_ports(process)?)));
    for (process, ports) in held.collect::<Result<Vec<_>, Failure>>()? {
        drop(ports);
        start(process, home, binary)?;
    }
    Ok(())
}

fn hold_ports(process: &Process) -> Result<Vec<TcpListener>, Failure> {
    let hold = |(face, port): &(&str, u16)| {
        let bound = until(PORT_TIME, || TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).ok());
        match bound {
            Waited::Came(listener) => Ok(listener),
            Waited::TooLong => Err(Failure::new(format!(
                "port {port}, for {face} of {}, is taken, be it by an outgoing connection",
                process.name
            ))),
        }
    };
    process.ports.iter().map(hold).collect()
}

fn start(process: &Process, home: &Path, binary: &Path) -> Result<(), Failure> {
    let directory = process.directory(home);
    let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log"))?;
    let mut command = boxoffice(binary, home);
    command.args(["serve", process.name]);
    for (face, port) in &process.ports {
        command.args(["--set", &format!("listen.{}.{face}={port}", process.name)]);
    }
    command.current_dir(&directory).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log).process_group(0);
    let failed = |error| Failure::new(format!("{}: {error}", binary.display()));
    // It runs on when we end; whoever adopts it reaps it.
    let _child = command.spawn().map_err(failed)?;
    Ok(())
}

fn await_ready(processes: &[Process], home: &Path) -> Result<(), Failure> {
    let mut waiting: Vec<&Process> = processes.iter().collect();
    let ended = |process: &&&Process| living_in(&process.directory(home)).is_empty();
    let outcome = until(READY_TIME, || {
        waiting.retain(|process| !process.is_ready());
        match waiting.iter().find(ended) {
            Some(process) => Some(Err(*process)),
            None => waiting.is_empty().then_some(Ok(())),
        }
    });
    let failure = |process: &Process, what: &str| {
        let log = home::log_tail(&process.directory(home));
        Failure::new(format!("{} {} {what}:\n{log}", process.name, process.number))
    };
    match (outcome, waiting.first()) {
        (Waited::Came(Ok(())), _) => Ok(()),
        (Waited::Came(Err(process)), _) => Err(failure(process, "ended")),
        (Waited::TooLong, Some(process)) => Err(failure(process, "is not ready in time")),
        (Waited::TooLong, None) => Ok(()),
    }
}

fn stop(process: &Process, directory: &Path) -> Result<(), Failure> {
    let gone = || living_in(directory).is_empty().then_some(());
    for (signal, patience) in [("TERM", DRAIN_TIME), ("KILL", DRAIN_TIME)] {
        for pid in living_in(directory) {
            infra::signal(pid, signal)?;
            // A paused one hears nothing but this.
            infra::signal(pid, "CONT")?;
        }
        if until(patience, gone) == Waited::Came(()) {
            return Ok(());
        }
        let (name, seconds) = (process.name, patience.as_secs());
        println!("xtask: {name} {} has not ended {seconds} s after SIG{signal}", process.number);
    }
    Err(Failure::new(format!("{} {} can't be ended", process.name, process.number)))
}

/// Whether `GET /ready` is answered with 200.
fn says_ready(port: u16) -> bool {
    let ask = || {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_share_a_name_and_no_port() {
        let processes = plan(2).unwrap();
        assert_eq!(processes.len(), 18, "seven services twice, three and the sandbox once");
        let mut ports: Vec<u16> =
            processes.iter().flat_map(|its| its.ports.iter().map(|(_, port)| *port)).collect();
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count);
        let text = shared(&processes);
        assert!(text.contains("booking = [\"http://127.0.0.1:50056\", \"http://127.0.0.1:"));
        assert!(text.contains("realtime_url = \"ws://127.0.0.1:3003/ws\""));
        assert!(text.contains("webhook_url = \"http://127.0.0.1:8081/webhooks/stripe\""));
    }

    #[test]
    fn what_up_does_not_know_is_refused() {
        let parse =
            |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let args = parse(&["--debug", "--replicas", "2"]).unwrap();
        assert!(!args.release && args.replicas == 2);
        for wrong in [&["--replicas"][..], &["--replicas", "0"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
