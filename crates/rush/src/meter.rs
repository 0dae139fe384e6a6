//! Who took how much processor time and wrote how much: each process of the platform, each database
//! of its server, and the rush itself.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;

use crate::{
    Failure,
    machine::{TICK_MS, busy_ms},
};

/// What is measured as one.
#[derive(Debug, Clone)]
pub struct Part {
    name: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Process(Option<u32>),
    /// All that works in a directory.
    Server(PathBuf),
    /// The same; each database by itself.
    Postgres(PathBuf),
}

/// What one part took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The service, or the server and its database.
    pub part: String,
    /// Processor time, in milliseconds.
    pub cpu_ms: f64,
    /// What it gave to the disk, in bytes.
    pub written_bytes: u64,
}

/// What PostgreSQL's log of changes took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wal {
    /// Its size, in bytes.
    pub bytes: u64,
    /// How often it was flushed.
    pub syncs: u64,
    /// How many transactions were committed, in all databases.
    pub commits: u64,
}

/// Reads what the parts take. Short-lived processes are seen if they live through one reading.
pub struct Meter {
    parts: Vec<Part>,
    processes: BTreeMap<u32, Seen>,
    busy_ms: f64,
}

struct Seen {
    part: String,
    first: Reading,
    last: Reading,
}

#[derive(Clone, Copy, Default)]
struct Reading {
    cpu_ms: f64,
    written_bytes: u64,
}

/// The rush's own name among the parts.
pub const RUSH: &str = "the rush itself";

impl Part {
    /// A process; none if it does not run.
    #[must_use]
    pub fn process(name: &str, pid: Option<u32>) -> Self {
        Self { name: name.to_owned(), source: Source::Process(pid) }
    }

    /// All that works in `directory`.
    #[must_use]
    pub fn server(name: &str, directory: &Path) -> Self {
        Self { name: name.to_owned(), source: Source::Server(directory.to_owned()) }
    }

    /// PostgreSQL's processes, which work in `directory`, each database by itself.
    #[must_use]
    pub fn postgres(directory: &Path) -> Self {
        Self { name: "postgres".to_owned(), source: Source::Postgres(directory.to_owned()) }
    }

    fn pids(&self) -> Vec<u32> {
        match &self.source {
            Source::Process(pid) => pid.iter().copied().collect(),
            Source::Server(directory) | Source::Postgres(directory) => infra::living_in(directory),
        }
    }

    /// The part's name, or that of the database a process serves.
    fn name_of(&self, pid: u32) -> String {
        let Source::Postgres(_) = self.source else { return self.name.clone() };
        let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        database(&title).map_or_else(
            || format!("{}: the server", self.name),
            |database| format!("{}: {database}", self.name),
        )
    }
}

/// The database in a title such as `postgres: user database 127.0.0.1(40000) idle`, or `[local]`
/// where it is reached by its socket. A server's own processes have none.
fn database(title: &str) -> Option<&str> {
    let mut words = title.strip_prefix("postgres: ")?.split_whitespace();
    let (_user, database, client) = (words.next()?, words.next()?, words.next()?);
    (client.contains('(') || client == "[local]").then_some(database)
}

impl Meter {
    /// Begins to measure.
    ///
    /// # Errors
    /// If /proc can't be read.
    pub fn start(mut parts: Vec<Part>) -> io::Result<Self> {
        parts.push(Part::process(RUSH, Some(std::process::id())));
        let mut meter = Self { parts, processes: BTreeMap::new(), busy_ms: busy_ms()? };
        meter.look();
        for seen in meter.processes.values_mut() {
            seen.first = seen.last;
        }
        Ok(meter)
    }

    /// Reads all there is now.
    pub fn look(&mut self) {
        for part in &self.parts {
            for pid in part.pids() {
                let Some(reading) = Reading::of(pid) else { continue };
                match self.processes.entry(pid) {
                    Entry::Occupied(mut seen) => seen.get_mut().last = reading,
                    Entry::Vacant(new) => {
                        let (part, first) = (part.name_of(pid), Reading::default());
                        new.insert(Seen { part, first, last: reading });
                    }
                }
            }
        }
    }

    /// Processor time of all parts since the start, as of the last look, in milliseconds.
    #[must_use]
    pub fn cpu_ms(&self) -> f64 {
        self.processes.values().map(|seen| seen.last.cpu_ms - seen.first.cpu_ms).sum()
    }

    /// What each part took since the start, and what others on the machine took, in milliseconds.
    ///
    /// # Errors
    /// If /proc can't be read.
    pub fn end(mut self) -> io::Result<(Vec<Usage>, f64)> {
        self.look();
        let mut usages: Vec<Usage> = Vec::new();
        for seen in self.processes.values() {
            let cpu_ms = seen.last.cpu_ms - seen.first.cpu_ms;
            let written_bytes = seen.last.written_bytes.saturating_sub(seen.first.written_bytes);
            match usages.iter_mut().find(|usage| usage.part == seen.part) {
                Some(usage) => {
                    usage.cpu_ms += cpu_ms;
                    usage.written_bytes += written_bytes;
                }
                None => usages.push(Usage { part: seen.part.clone(), cpu_ms, written_bytes }),
            }
        }
        usages.sort_by(|a, b| b.cpu_ms.total_cmp(&a.cpu_ms));
        let ours: f64 = usages.iter().map(|usage| usage.cpu_ms).sum();
        Ok((usages, (busy_ms()? - self.busy_ms - ours).max(0.0)))
    }
}

impl Reading {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before may hold anything, brackets too.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        // Another account's may not be readable: then nothing is known.
        let written = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let written = written.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Some(Self {
            cpu_ms: (ticks(11)? + ticks(12)?) * TICK_MS,
            written_bytes: written.and_then(|bytes| bytes.parse().ok()).unwrap_or_default(),
        })
    }
}

impl Wal {
    /// What the server at `url` tells so far.
    ///
    /// # Errors
    /// If it doesn't.
    pub async fn read(url: &str) -> Result<Self, Failure> {
        const ASK: &str = "select wal_bytes::bigint, wal_sync, \
             (select sum(xact_commit)::bigint from pg_stat_database) from pg_stat_wal";
        let failed = |error: tokio_postgres::Error| Failure::new(format!("postgres: {error}"));
        let (client, connection) =
            tokio_postgres::connect(&format!("{url}/postgres"), NoTls).await.map_err(failed)?;
        tokio::pin!(connection);
        let row = tokio::select! {
            row = client.query_one(ASK, &[]) => row.map_err(failed)?,
            ended = &mut connection => {
                return Err(Failure::new(format!("postgres: the connection ended: {ended:?}")));
            }
        };
        let number = |at: usize| -> Result<u64, Failure> {
            let number: i64 = row.try_get(at).map_err(failed)?;
            Ok(u64::try_from(number).unwrap_or_default())
        };
        Ok(Self { bytes: number(0)?, syncs: number(1)?, commits: number(2)? })
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            syncs: self.syncs.saturating_sub(earlier.syncs),
            commits: self.commits.saturating_sub(earlier.commits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_seen_as_the_rush_s_own() {
        let mut meter = Meter::start(Vec::new()).unwrap();
        let mut rounds = 0_u64;
        loop {
            meter.look();
            let seen = &meter.processes[&std::process::id()];
            if seen.last.cpu_ms - seen.first.cpu_ms >= 30.0 {
                break;
            }
            rounds += 1;
            assert!(rounds < 10_000_000, "no time is seen to pass");
        }
        let (usages, _) = meter.end().unwrap();
        assert!(usages[0].part == RUSH && usages[0].cpu_ms >= 30.0, "{usages:?}");
    }

    #[test]
    fn a_backend_s_title_names_its_database() {
        let title = "postgres: postgres booking_service 127.0.0.1(40000) idle";
        assert_eq!(database(title), Some("booking_service"));
        let title = "postgres: postgres payment_db [local] COMMIT";
        assert_eq!(database(title), Some("payment_db"));
        assert_eq!(database("postgres: walwriter "), None);
        assert_eq!(database("postgres: logical replication launcher "), None);
    }
}
