//! Processor time: of this process, of PostgreSQL's processes, of Kafka, of the whole machine.

use std::{fs, ops::AddAssign};

use crate::Failure;

/// Linux tells readers of /proc processor time in hundredths of a second.
const TICK_MS: f64 = 10.0;

/// Processor time spent, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// By this process: the service, and those who call it.
    pub(crate) own_ms: f64,
    /// By PostgreSQL's processes, those that have ended included.
    pub(crate) postgres_ms: f64,
    /// By Kafka.
    pub(crate) kafka_ms: f64,
    /// By the machine.
    machine_ms: f64,
}

impl Spent {
    /// What was spent since `earlier` was read.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            own_ms: self.own_ms - earlier.own_ms,
            postgres_ms: self.postgres_ms - earlier.postgres_ms,
            kafka_ms: self.kafka_ms - earlier.kafka_ms,
            machine_ms: self.machine_ms - earlier.machine_ms,
        }
    }

    /// By ours.
    pub(crate) fn ours_ms(self) -> f64 {
        self.own_ms + self.postgres_ms + self.kafka_ms
    }

    /// By everybody else.
    pub(crate) fn others_ms(self) -> f64 {
        (self.machine_ms - self.ours_ms()).max(0.0)
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        self.own_ms += more.own_ms;
        self.postgres_ms += more.postgres_ms;
        self.kafka_ms += more.kafka_ms;
        self.machine_ms += more.machine_ms;
    }
}

/// Reads processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    postmaster: Option<i32>,
    kafka: Option<u32>,
}

impl Meter {
    /// Where PostgreSQL takes no part.
    pub(crate) const fn of_this_process() -> Self {
        Self { postmaster: None, kafka: None }
    }

    /// With the server one of whose processes is `backend`.
    ///
    /// # Errors
    /// If there is no such process.
    pub(crate) fn with_postgres_of(backend: i32) -> Result<Self, Failure> {
        let backend = Times::of(&backend.to_string()).ok_or("the server's process is gone")?;
        Ok(Self { postmaster: Some(backend.parent), kafka: None })
    }

    /// And with the Kafka that is this process.
    pub(crate) const fn and_kafka(self, process: u32) -> Self {
        Self { kafka: Some(process), ..self }
    }

    /// What was spent so far.
    ///
    /// # Errors
    /// If /proc can't be read.
    pub(crate) fn read(self) -> Result<Spent, Failure> {
        let own = Times::of("self").ok_or("/proc/self/stat can't be read")?;
        let postgres = match self.postmaster {
            None => 0.0,
            Some(postmaster) => postgres_ms(postmaster)?,
        };
        let kafka = match self.kafka {
            None => 0.0,
            Some(kafka) => Times::of(&kafka.to_string()).ok_or("kafka is gone")?.own_ms,
        };
        Ok(Spent {
            own_ms: own.own_ms,
            postgres_ms: postgres,
            kafka_ms: kafka,
            machine_ms: machine_ms()?,
        })
    }
}

/// The postmaster has the times of its children that have ended; those alive have their own.
fn postgres_ms(postmaster: i32) -> Result<f64, Failure> {
    let parent = Times::of(&postmaster.to_string()).ok_or("the postmaster is gone")?;
    let mut sum = parent.own_ms + parent.ended_children_ms;
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        sum += Times::of(name).filter(|of| of.parent == postmaster).map_or(0.0, |of| of.own_ms);
    }
    Ok(sum)
}

/// All but idling and waiting for the disk.
fn machine_ms() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> =
        line.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
    // user nice system (idle iowait) irq softirq steal
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum::<f64>();
    Ok(busy * TICK_MS)
}

/// One process's line in /proc.
struct Times {
    parent: i32,
    own_ms: f64,
    ended_children_ms: f64,
}

impl Times {
    fn of(process: &str) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name before may hold anything, brackets too.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_ms: (ticks(11)? + ticks(12)?) * TICK_MS,
            ended_children_ms: (ticks(13)? + ticks(14)?) * TICK_MS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_seen_as_its_own() {
        let meter = Meter::of_this_process();
        let before = meter.read().unwrap();
        let mut rounds = 0_u64;
        while meter.read().unwrap().since(before).own_ms < 50.0 {
            rounds += 1;
            assert!(rounds < 10_000_000, "no time is seen to pass");
        }
        let spent = meter.read().unwrap().since(before);
        assert!(spent.postgres_ms == 0.0 && spent.ours_ms() >= 50.0, "{spent:?}");
    }
}
