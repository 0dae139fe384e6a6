//! What a figure depends on beside the code: the machine, its disk at that moment, its neighbours.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const PROBE_BYTES: usize = 4_096;
const PROBES: usize = 200;
/// Linux tells readers of /proc processor time in hundredths of a second.
pub(crate) const TICK_MS: f64 = 10.0;

/// How long the disk takes to make 4 KiB durable, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Flush {
    /// Half of the flushes took no longer.
    pub median_us: u64,
    /// 99 of a hundred took no longer.
    pub p99_us: u64,
}

impl Flush {
    /// Overwrites the same 4 KiB in `directory` and flushes them, again and again.
    ///
    /// # Errors
    /// If the directory can't be written to.
    pub fn probe(directory: &Path) -> io::Result<Self> {
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
                times.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        }
        fs::remove_file(path)?;
        times.sort_unstable();
        let at = |share: usize| times.get(PROBES * share / 100).copied().unwrap_or_default();
        Ok(Self { median_us: at(50), p99_us: at(99) })
    }
}

/// The machine, in a line.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processors = read("/proc/cpuinfo");
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    format!("{cores} cores ({model}), linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// Processor time of the whole machine so far, in milliseconds: all but idling and waiting for the
/// disk.
pub(crate) fn busy_ms() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> =
        line.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
    // user nice system (idle iowait) irq softirq steal
    Ok([0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum::<f64>() * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_and_processor_are_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let flush = Flush::probe(directory.path()).unwrap();
        assert!(flush.median_us > 0 && flush.median_us <= flush.p99_us, "{flush:?}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
        assert!(busy_ms().unwrap() > 0.0 && describe().contains("cores"));
    }
}
