//! What a figure depends on beside the code: the machine, its disk at that moment, its neighbours.

use std::{
    fs::{self, File},
    io::{Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    Failure,
    processor::{Meter, Spent},
};

const PROBE_BYTES: usize = 4_096;
const PROBES: usize = 200;

/// The machine, in a line.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processors = read("/proc/cpuinfo");
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores ({model}), linux {}", kernel.trim())
}

/// Looks at the disk before and after a run, and at the neighbours meanwhile.
pub(crate) struct Watch {
    directory: PathBuf,
    meter: Meter,
    began: Instant,
    spent: Spent,
    before: Flush,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn start(directory: &Path, meter: Meter) -> Result<Self, Failure> {
        let before = Flush::probe(directory)?;
        let spent = meter.read()?;
        Ok(Self { directory: directory.to_owned(), meter, began: Instant::now(), spent, before })
    }

    /// What was seen, in a line.
    pub(crate) fn end(self) -> Result<String, Failure> {
        let spent = self.meter.read()?.since(self.spent);
        let took_ms = self.began.elapsed().as_secs_f64() * 1_000.0;
        let after = Flush::probe(&self.directory)?;
        let others = spent.others_ms() / took_ms * 100.0;
        Ok(format!(
            "fdatasync of 4 KiB, median (p99): {} before, {} after; other processes took \
             {others:.0} % of a core; {:.0} s",
            self.before.text(),
            after.text(),
            took_ms / 1_000.0
        ))
    }
}

/// How long the disk takes to make 4 KiB durable.
struct Flush {
    median: Duration,
    p99: Duration,
}

impl Flush {
    /// Overwrites the same 4 KiB and flushes them, again and again.
    fn probe(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("probe");
        let mut file = File::create(&path)?;
        let mut times = Vec::with_capacity(PROBES);
        for round in 0..=PROBES {
            let began = Instant::now();
            file.rewind()?;
            file.write_all(&[round.to_le_bytes()[0]; PROBE_BYTES])?;
            file.sync_data()?;
            // The first one allocates.
            if round > 0 {
                times.push(began.elapsed());
            }
        }
        fs::remove_file(path)?;
        times.sort_unstable();
        let at = |share: usize| times.get(PROBES * share / 100).copied().unwrap_or_default();
        Ok(Self { median: at(50), p99: at(99) })
    }

    fn text(&self) -> String {
        format!("{} ({}) µs", self.median.as_micros(), self.p99.as_micros())
    }
}
