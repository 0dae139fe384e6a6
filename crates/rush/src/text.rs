//! A report as text: tables a person reads in a terminal.

use std::fmt::{self, Display, Formatter};

use crate::{machine::Flush, report::Report};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.sale(f)?;
        if let Some(overload) = &self.overload {
            writeln!(f, "\n{overload}")?;
        }
        self.latency_table(f)?;
        counts(f, "refusals", &self.refusals)?;
        counts(f, "without an answer", &self.lost)?;
        self.usage_table(f)?;
        self.verdict(f)
    }
}

impl Report {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.scenario.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        writeln!(f, "rush: {name}, {}; {}", self.platform, self.machine)?;
        if let (Some(before), Some(after)) = (self.flush_before, self.flush_after) {
            let probe = |flush: Flush| format!("{} ({})", flush.median_us, flush.p99_us);
            let (before, after) = (probe(before), probe(after));
            writeln!(
                f,
                "fdatasync of 4 KiB, median (p99): {before} µs before, {after} µs after; others \
                 took {:.0} % of a core",
                self.others_cpu_ms / self.took_seconds.max(0.001) / 10.0
            )?;
        }
        Ok(())
    }

    fn sale(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { arrived, sold, places, .. } = self;
        writeln!(
            f,
            "\n{arrived} buyers, {sold} of {places} places sold, {:.1} s",
            self.took_seconds
        )?;
        if let Some(seconds) = self.sold_out_seconds {
            writeln!(f, "nothing free for the first time after {seconds:.2} s")?;
        }
        let all = &self.bookings;
        let mean = |count: u64| count as f64 / self.ticketing_seconds().max(1) as f64;
        writeln!(f, "\n{:<12}{:>10}{:>12}{:>14}", "bookings", "in all", "a second", "best second")?;
        for (what, count, best) in [
            ("held", all.held, all.best_held),
            ("paid", all.paid, all.best_paid),
            ("ticketed", all.ticketed, all.best_ticketed),
        ] {
            writeln!(f, "{what:<12}{count:>10}{:>12.1}{best:>14}", mean(count))?;
        }
        let ends = self.ends.iter().map(|(end, count)| format!("{count} {end}"));
        writeln!(f, "\nlives ended: {}", ends.collect::<Vec<_>>().join(", "))?;
        writeln!(
            f,
            "{} cards declined, {} holds over before they were paid, {} places went to standbys",
            self.declined, self.lapsed, self.standbys
        )?;
        writeln!(
            f,
            "{} requests waited for room in flight, {} connections, {} frames to visitors",
            self.late, self.connections, self.frames
        )
    }

    fn latency_table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let header = ["count", "p50", "p90", "p99", "p99.9", "max"];
        write!(f, "\n{:<14}", "step, ms")?;
        for column in header {
            write!(f, "{column:>11}")?;
        }
        writeln!(f)?;
        for its in &self.latencies {
            write!(f, "{:<14}{:>11}", its.step.name(), its.count)?;
            for time in [its.p50_ms, its.p90_ms, its.p99_ms, its.p999_ms, its.max_ms] {
                write!(f, "{time:>11.2}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn usage_table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.usage.is_empty() {
            return Ok(());
        }
        let bookings = self.bookings.ticketed.max(1) as f64;
        writeln!(
            f,
            "\n{:<36}{:>10}{:>18}{:>18}",
            "part", "CPU s", "CPU-ms a booking", "bytes a booking"
        )?;
        let (mut cpu, mut bytes) = (0.0, 0);
        for usage in self.usage.iter().filter(|usage| usage.cpu_ms > 0.0 || usage.written_bytes > 0)
        {
            row(f, &usage.part, (usage.cpu_ms, usage.written_bytes), bookings)?;
            cpu += usage.cpu_ms;
            bytes += usage.written_bytes;
        }
        row(f, "all", (cpu, bytes), bookings)?;
        if let Some(wal) = self.wal {
            writeln!(
                f,
                "postgresql: {:.2} flushes, {:.2} commits and {:.0} bytes of WAL a booking",
                wal.syncs as f64 / bookings,
                wal.commits as f64 / bookings,
                wal.bytes as f64 / bookings
            )?;
        }
        Ok(())
    }

    fn verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        if let Some(audit) = &self.audit {
            writeln!(f, "audit: {}", crate::proof::in_a_line(audit))?;
        }
        for violation in &self.violations {
            writeln!(f, "violation: {violation}")?;
        }
        if !self.is_good() {
            return write!(f, "{} violations", self.violations.len());
        }
        if self.sold == u64::from(self.places) {
            return write!(f, "exactly {} sold, each once", self.sold);
        }
        write!(f, "{} sold, each once", self.sold)
    }
}

fn row(
    f: &mut Formatter<'_>,
    part: &str,
    (cpu_ms, bytes): (f64, u64),
    bookings: f64,
) -> fmt::Result {
    let (seconds, each, written) = (cpu_ms / 1_000.0, cpu_ms / bookings, bytes as f64 / bookings);
    writeln!(f, "{part:<36}{seconds:>10.2}{each:>18.3}{written:>18.0}")
}

fn counts(
    f: &mut Formatter<'_>,
    title: &str,
    counts: &std::collections::BTreeMap<String, u64>,
) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    counts.iter().try_for_each(|(what, count)| writeln!(f, "{count:>10}  {what}"))
}
