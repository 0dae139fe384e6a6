//! Memory of the whole platform in one process, idle, as the kernel counts it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::Failure;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// After it says that it is ready.
const IDLE: Duration = Duration::from_secs(2);
/// Every face of every service.
pub(crate) const FACES: [(&str, &[&str]); 11] = [
    ("auth", &["grpc", "metrics"]),
    ("user", &["grpc", "metrics"]),
    ("event", &["grpc", "metrics"]),
    ("ticket", &["grpc", "metrics"]),
    ("booking", &["grpc", "http"]),
    ("realtime", &["grpc", "http", "metrics"]),
    ("payment", &["grpc", "http"]),
    ("gateway", &["http", "metrics"]),
    ("booking-worker", &["grpc", "metrics"]),
    ("email-worker", &["grpc", "http", "metrics"]),
    ("stripe-sandbox", &["http"]),
];

/// Starts the binary in an empty directory, then once more where its state is, and prints what it
/// takes.
pub(crate) async fn run(directory: &Path, binary: Option<PathBuf>) -> Result<(), Failure> {
    let beside = std::env::current_exe()?.with_file_name("boxoffice");
    let binary = fs::canonicalize(binary.unwrap_or(beside))
        .map_err(|error| format!("no binary, cargo build --release makes it: {error}"))?;
    let size_mib = fs::metadata(&binary)?.len() as f64 / f64::from(1 << 20);
    println!("### The whole platform in one process, idle; a binary of {size_mib:.1} MiB\n");
    println!(
        "| start | ready after ms | PSS MiB | of it its own (anonymous) | RSS MiB | threads |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    for title in ["first, with demo data made", "again, on the same state"] {
        let platform = Platform::start(&binary, directory).await?;
        sleep(IDLE).await;
        let memory = platform.memory();
        platform.stop().await?;
        println!("| {title} | {} |", memory?);
    }
    println!();
    Ok(())
}

struct Platform {
    child: Child,
    process: u32,
    ready_after: Duration,
}

impl Platform {
    async fn start(binary: &Path, directory: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command.current_dir(directory).arg("--state").arg(directory.join("state"));
        for (service, faces) in FACES {
            for face in faces {
                command.arg("--set").arg(format!("listen.{service}.{face}=0"));
            }
        }
        let began = Instant::now();
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let process = child.id().ok_or("it ended at once")?;
        let output = child.stdout.take().ok_or("it has no output")?;
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("is ready") {
                    return Ok(());
                }
            }
            Err::<(), Failure>("it ended before it was ready".into())
        };
        timeout(START_LIMIT, ready).await.map_err(|_| "it does not get ready")??;
        let ready_after = began.elapsed();
        // What it says later must find a reader.
        child.stdout = Some(lines.into_inner().into_inner());
        Ok(Self { child, process, ready_after })
    }

    /// Columns of the table.
    fn memory(&self) -> Result<String, Failure> {
        let kept = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process))?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.process))?;
        let number = |text: &str, name: &str| -> Result<u32, Failure> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|rest| rest.split_whitespace().next());
            Ok(value.ok_or_else(|| format!("no {name}"))?.parse()?)
        };
        let mib = |name: &str| number(&kept, name).map(|kib| f64::from(kib) / 1_024.0);
        Ok(format!(
            "{} | {:.1} | {:.1} | {:.1} | {}",
            self.ready_after.as_millis(),
            mib("Pss:")?,
            mib("Pss_Anon:")?,
            mib("Rss:")?,
            number(&status, "Threads:")?,
        ))
    }

    async fn stop(mut self) -> Result<(), Failure> {
        let process = self.process.to_string();
        Command::new("kill").args(["-TERM", &process]).status().await?;
        // Its last words may fill the pipe.
        let mut lines = BufReader::new(self.child.stdout.take().ok_or("no output")?).lines();
        let end = async {
            while lines.next_line().await?.is_some() {}
            Ok::<_, Failure>(self.child.wait().await?)
        };
        let ended = timeout(STOP_LIMIT, end).await.map_err(|_| "it does not stop")??;
        if ended.success() { Ok(()) } else { Err(format!("it ended with {ended}").into()) }
    }
}
