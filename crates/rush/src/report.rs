//! What a rush found out, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Failure,
    machine::Flush,
    meter::{Usage, Wal},
    model::End,
    overload::Overload,
    tally::{Latency, Second, Step},
};

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// What was played.
    pub scenario: Value,
    /// `one`, `distributed`, or the address.
    pub platform: String,
    /// The machine, in a line.
    pub machine: String,
    /// The disk before; none where the platform is elsewhere.
    pub flush_before: Option<Flush>,
    /// The disk after.
    pub flush_after: Option<Flush>,
    /// From the opening of the doors until the last buyer was gone, in seconds.
    pub took_seconds: f64,
    /// When somebody first saw that nothing was free, in seconds after the opening.
    pub sold_out_seconds: Option<f64>,
    /// Places on sale.
    pub places: u32,
    /// Places sold, as the platform says.
    pub sold: u64,
    /// Buyers that arrived.
    pub arrived: u64,
    /// Bookings: held, paid, ticketed, in all and at best in a second.
    pub bookings: Bookings,
    /// How buyers' lives ended.
    pub ends: BTreeMap<End, u64>,
    /// Places that were taken by those who waited for what others left.
    pub standbys: u64,
    /// Holds that were over when their buyers came to pay, or waited for tickets.
    pub lapsed: u64,
    /// Cards that were declined.
    pub declined: u64,
    /// Latencies from the intended start.
    pub latencies: Vec<Latency>,
    /// Refusals by step and reason.
    pub refusals: BTreeMap<String, u64>,
    /// Requests without an answer, by step and cause.
    pub lost: BTreeMap<String, u64>,
    /// Requests that had to wait for room among those in flight.
    pub late: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Frames that visitors' sockets got.
    pub frames: u64,
    /// What the parts took; empty where the platform is elsewhere.
    pub usage: Vec<Usage>,
    /// Processor time of others on the machine, in milliseconds.
    pub others_cpu_ms: f64,
    /// What PostgreSQL logged, in the distributed shape.
    pub wal: Option<Wal>,
    /// What the surge did, if there was one.
    #[serde(default)]
    pub overload: Option<Overload>,
    /// The sale, second by second.
    pub seconds: Vec<Second>,
    /// What must not be, as buyers saw it; empty is good.
    pub violations: Vec<String>,
    /// What the audit of the stores says; none where the platform is elsewhere.
    pub audit: Option<Value>,
}

/// Bookings in three states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bookings {
    /// Their places were held.
    pub held: u64,
    /// They were paid.
    pub paid: u64,
    /// They were confirmed, with tickets.
    pub ticketed: u64,
    /// The most that were held within a second.
    pub best_held: u64,
    /// The most that were paid within a second.
    pub best_paid: u64,
    /// The most that were confirmed within a second.
    pub best_ticketed: u64,
}

impl Report {
    /// Whether nothing was found that must not be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// It as JSON.
    ///
    /// # Errors
    /// If a number in it can't be written.
    pub fn json(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self);
        text.map_err(|error| Failure::new(format!("report: {error}")))
    }

    /// Reads what [`json`](Self::json) wrote.
    ///
    /// # Errors
    /// If it is no report.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|error| Failure::new(format!("no report: {error}")))
    }

    /// The latencies of a step, if there were any.
    #[must_use]
    pub fn latency(&self, step: Step) -> Option<&Latency> {
        self.latencies.iter().find(|latency| latency.step == step)
    }

    /// Seconds in which bookings were confirmed, from the first to the last.
    #[must_use]
    pub fn ticketing_seconds(&self) -> u64 {
        let busy = |second: &Second| second.ticketed > 0;
        let first = self.seconds.iter().position(busy);
        let last = self.seconds.iter().rposition(busy);
        first.zip(last).map_or(0, |(first, last)| (last - first + 1) as u64)
    }
}

impl Bookings {
    /// Summed up from a sale's seconds.
    pub(crate) fn of(seconds: &[Second]) -> Self {
        seconds.iter().fold(Self::default(), |sum, second| Self {
            held: sum.held + second.held,
            paid: sum.paid + second.paid,
            ticketed: sum.ticketed + second.ticketed,
            best_held: sum.best_held.max(second.held),
            best_paid: sum.best_paid.max(second.paid),
            best_ticketed: sum.best_ticketed.max(second.ticketed),
        })
    }
}
