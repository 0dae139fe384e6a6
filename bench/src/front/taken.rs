//! What a course took beside time: processor time by part, the disk, the log of changes.

use std::time::Duration;

use rush::{Flush, House, Meter, Part, RUSH, Usage, Wal};

use crate::Failure;

/// Looks at the platform during a course.
pub(crate) struct Watch {
    meter: Meter,
    wal: Option<Wal>,
}

/// What it has seen.
pub(crate) struct Taken {
    usage: Vec<Usage>,
    others_cpu_ms: f64,
    wal: Option<Wal>,
    course: Duration,
    /// How long it took until the platform was idle, and its processor time meanwhile.
    pub(crate) rest: (Duration, f64),
    pub(crate) flush: (Flush, Flush),
}

impl Watch {
    /// At these parts.
    pub(crate) async fn start(house: &House, parts: Vec<Part>) -> Result<Self, Failure> {
        Ok(Self { wal: wal(house).await?, meter: Meter::start(parts)? })
    }

    /// Ends a course that took so long, before which the disk was like this.
    pub(crate) async fn end(
        self,
        house: &House,
        course: Duration,
        flush: Flush,
    ) -> Result<Taken, Failure> {
        let (usage, others_cpu_ms) = self.meter.end()?;
        let wal = match (wal(house).await?, self.wal) {
            (Some(now), Some(before)) => Some(now.since(before)),
            _ => None,
        };
        let rest = (Duration::ZERO, 0.0);
        Ok(Taken { usage, others_cpu_ms, wal, course, rest, flush: (flush, flush) })
    }
}

async fn wal(house: &House) -> Result<Option<Wal>, Failure> {
    match house.database() {
        Some(url) => Ok(Some(Wal::read(&url).await?)),
        None => Ok(None),
    }
}

impl Taken {
    /// Processor time for each of `count`, of the platform and its servers, and of the callers.
    pub(crate) fn cpu_ms_each(&self, count: u64) -> (f64, f64) {
        let count = count.max(1) as f64;
        let (own, others): (Vec<_>, Vec<_>) =
            self.usage.iter().partition(|usage| usage.part == RUSH);
        let sum = |parts: Vec<&Usage>| parts.iter().map(|usage| usage.cpu_ms).sum::<f64>();
        (sum(others) / count, sum(own) / count)
    }

    /// By part, for each of `count`; what the log of changes took; what came after; disk and
    /// neighbours.
    pub(crate) fn text(&self, count: u64) -> String {
        let each = count.max(1) as f64;
        let parts = self.usage.iter().filter(|usage| usage.cpu_ms / each >= 0.000_5);
        let parts = parts.map(|usage| {
            let name = if usage.part == RUSH { "callers" } else { usage.part.as_str() };
            let kb = usage.written_bytes as f64 / each / 1_024.0;
            format!("{name} {:.3} ({kb:.1} KB)", usage.cpu_ms / each)
        });
        let parts = parts.collect::<Vec<_>>().join(", ");
        let mut text = format!("CPU-ms (and written) each, by part: {parts}");
        if let Some(wal) = self.wal {
            text += &format!(
                "\nPostgreSQL each: {:.2} flushes, {:.2} commits, {:.1} KB of log",
                wal.syncs as f64 / each,
                wal.commits as f64 / each,
                wal.bytes as f64 / each / 1_024.0
            );
        }
        let busy: f64 = self.usage.iter().map(|usage| usage.cpu_ms).sum();
        let took_ms = self.course.as_secs_f64() * 1_000.0;
        let (before, after) = self.flush;
        text += &format!(
            "\ncores in use {:.2}, by others {:.2}; idle after {:.0} s and {:.0} CPU-ms more; \
             fdatasync of 4 KiB, median (p99): {} ({}) µs before, {} ({}) µs after",
            busy / took_ms,
            self.others_cpu_ms / took_ms,
            self.rest.0.as_secs_f64(),
            self.rest.1,
            before.median_us,
            before.p99_us,
            after.median_us,
            after.p99_us
        );
        text
    }
}
