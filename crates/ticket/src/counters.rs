//! What is counted for Prometheus.

use platform::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

/// The labels of a count by outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    /// What came of it.
    pub(crate) outcome: &'static str,
}

/// The counters of this service.
pub(crate) struct Counted {
    /// Requests to hold places, by outcome.
    pub(crate) holds: Family<Outcome, Counter>,
    /// Holds that ended without a sale, by reason.
    pub(crate) released: Family<Outcome, Counter>,
    /// Tickets issued.
    pub(crate) issued: Counter,
    /// Tickets cancelled.
    pub(crate) cancelled: Counter,
    /// Uses at the door, by outcome.
    pub(crate) uses: Family<Outcome, Counter>,
}

impl Counted {
    /// Registers the counters.
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let family = |name, text| metrics.register(name, text, Family::default());
        Self {
            holds: family("ticket_seat_holds", "requests to hold places, by outcome"),
            released: family("ticket_seat_holds_released", "holds without a sale, by reason"),
            issued: metrics.register("ticket_tickets_issued", "tickets issued", Counter::default()),
            cancelled: metrics.register(
                "ticket_tickets_cancelled",
                "tickets cancelled",
                Counter::default(),
            ),
            uses: family("ticket_uses", "uses of tickets at the door, by outcome"),
        }
    }
}
