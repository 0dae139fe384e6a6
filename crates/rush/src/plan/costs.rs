//! What a request costs: processor time, for which it queues, and time that nobody works on it.

use std::time::Duration;

use serde::Serialize;

use crate::{Background, Report, dice::Dice, model::Behaviour, tally::Step};

/// The costs of a platform.
#[derive(Debug, Clone, Serialize)]
pub struct Costs {
    /// Cores that work for the platform; less than there are where others work, too.
    pub cores: f64,
    /// Step by step.
    pub steps: Vec<Cost>,
}

/// The cost of one step.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Which.
    pub step: Step,
    /// Processor time of all services and servers, in microseconds.
    pub cpu_us: f64,
    /// The least it takes beside that, in milliseconds.
    pub least_ms: f64,
    /// What it takes beside that half of the time, in milliseconds.
    pub median_ms: f64,
}

/// The steps, with their share in the work where nothing was measured: processor
/// time in microseconds, one process, and least and median latency in milliseconds.
const WITHOUT_A_REPORT: [(Step, f64, f64, f64); 12] = [
    (Step::Join, 60.0, 0.3, 1.0),
    (Step::Turn, 40.0, 0.0, 0.0),
    (Step::Place, 40.0, 0.2, 0.6),
    (Step::Look, 40.0, 0.2, 0.6),
    (Step::Hold, 600.0, 1.5, 5.0),
    (Step::Refusal, 100.0, 0.5, 2.0),
    (Step::Book, 500.0, 1.5, 5.0),
    (Step::Pay, 400.0, 1.0, 4.0),
    (Step::Confirmation, 600.0, 5.0, 40.0),
    (Step::Browse, 80.0, 0.2, 0.6),
    (Step::Poll, 40.0, 0.2, 0.6),
    (Step::Edit, 300.0, 1.0, 3.0),
];
/// What holding places costs where they are booked later.
const HOLD_FIRST_US: f64 = 150.0;
/// However much others take, a little is left, in cores.
const SLOWEST: f64 = 0.05;
/// As the project measures.
const CORES: f64 = 2.0;

impl Default for Costs {
    fn default() -> Self {
        let cost = |(step, cpu_us, least_ms, median_ms)| Cost { step, cpu_us, least_ms, median_ms };
        Self { cores: CORES, steps: WITHOUT_A_REPORT.map(cost).into() }
    }
}

impl Costs {
    /// Costs where nothing was measured.
    #[must_use]
    pub fn unmeasured(how: &Behaviour) -> Self {
        let mut costs = Self::default();
        if how.holds_first {
            // The rest of what asking for places costs is spent when they are booked.
            let holds = costs.steps.iter_mut().filter(|its| its.step == Step::Hold);
            holds.for_each(|its| its.cpu_us = HOLD_FIRST_US);
        }
        costs
    }

    /// Costs as a run has found them: the processor time of the platform, divided among its steps
    /// by their usual shares, and the faster half of each step's latencies.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let mut costs = Self::default();
        let counted = |step| report.latency(step).map_or(0.0, |latency| latency.count as f64);
        let expected: f64 = costs.steps.iter().map(|its| its.cpu_us * counted(its.step)).sum();
        let (own, platform): (Vec<_>, Vec<_>) =
            report.usage.iter().partition(|usage| usage.part == crate::meter::RUSH);
        let sum = |usages: &[&crate::Usage]| usages.iter().map(|its| its.cpu_ms).sum::<f64>();
        let (own_ms, platform_ms) = (sum(&own), sum(&platform));
        if expected > 0.0 && platform_ms > 0.0 {
            let factor = platform_ms * 1_000.0 / expected;
            costs.cores *= platform_ms / (platform_ms + own_ms);
            costs.steps.iter_mut().for_each(|its| its.cpu_us *= factor);
        }
        for cost in &mut costs.steps {
            if let Some(latency) = report.latency(cost.step) {
                let working_ms = cost.cpu_us / 1_000.0;
                cost.least_ms = (latency.min_ms - working_ms).max(0.0);
                cost.median_ms = (latency.p50_ms - working_ms).max(cost.least_ms);
            }
        }
        costs
    }

    fn of_step(&self, step: Step) -> Option<&Cost> {
        self.steps.iter().find(|cost| cost.step == step)
    }
}

/// Cores with one line before them: first come, first served.
pub(super) struct Station {
    /// Work that is accepted ends then, were one core to do all of it.
    free_at: Duration,
    /// How much faster than one core all of them are.
    speed: f64,
    /// Work begun in each second.
    seconds: Vec<f64>,
}

impl Station {
    /// The cores, less what those take who don't buy.
    pub(super) fn new(costs: &Costs, others: &Background) -> Self {
        let taken = [
            (Step::Browse, others.browses_per_second),
            (Step::Poll, others.polls_per_second),
            (Step::Edit, others.edits_per_second),
        ];
        let taken = taken
            .iter()
            .filter_map(|(step, rate)| costs.of_step(*step).map(|cost| cost.cpu_us / 1e6 * rate));
        let speed = (costs.cores - taken.sum::<f64>()).max(SLOWEST);
        Self { free_at: Duration::ZERO, speed, seconds: Vec::new() }
    }

    /// When a request that comes now is answered.
    pub(super) fn serves(
        &mut self,
        now: Duration,
        step: Step,
        dice: &mut Dice,
        costs: &Costs,
    ) -> Duration {
        let Some(cost) = costs.of_step(step) else { return now };
        let work = cost.cpu_us / 1e6;
        let begins = self.free_at.max(now);
        self.free_at = begins + Duration::from_secs_f64(work / self.speed);
        let second = begins.as_secs() as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, 0.0);
        }
        if let Some(sum) = self.seconds.get_mut(second) {
            *sum += work / self.speed;
        }
        // The faster half of what was seen, and as much again above the median.
        let spread = 2.0 * (cost.median_ms - cost.least_ms);
        let beside_ms = cost.least_ms + spread * dice.unit();
        self.free_at + Duration::from_secs_f64(beside_ms / 1_000.0)
    }

    /// The share of the time that was worked: in the busiest second, and until then.
    pub(super) fn utilisation(&self, until: Duration) -> (f64, f64) {
        let peak = self.seconds.iter().copied().fold(0.0, f64::max);
        let count = (until.as_secs_f64().ceil() as usize).clamp(1, self.seconds.len().max(1));
        let sum: f64 = self.seconds.iter().take(count).sum();
        (peak.min(1.0), (sum / count as f64).min(1.0))
    }
}
