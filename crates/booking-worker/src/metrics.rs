//! What this service counts.

use platform::Metrics;
use prometheus_client::metrics::{
    counter::Counter,
    family::Family,
    gauge::Gauge,
    histogram::{Histogram, exponential_buckets},
};

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// The service's metrics, made once in `build`.
pub(crate) struct Counts {
    pub(crate) waiting: Gauge,
    pub(crate) lines: Gauge,
    pub(crate) joined: Counter,
    pub(crate) booking_seconds: Histogram,
    pub(crate) waited_seconds: Histogram,
    pub(crate) given_up: Counter,
    processed: Labelled,
    errors: Labelled,
}

impl Counts {
    /// Registers all of them.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let booking_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let waited_seconds = Histogram::new(exponential_buckets(0.25, 2.0, 16));
        Self {
            waiting: metrics.register(
                "booking_worker_queue_length",
                "Places that wait, in the lines that this process serves",
                Gauge::default(),
            ),
            lines: metrics.register("booking_worker_lines", "Lines with places", Gauge::default()),
            joined: metrics.register("booking_worker_joined", "Places taken", Counter::default()),
            booking_seconds: metrics.register(
                "booking_worker_processing_duration_seconds",
                "How long booking for a place took",
                booking_seconds,
            ),
            waited_seconds: metrics.register(
                "booking_worker_wait_seconds",
                "How long a place waited until it was served",
                waited_seconds,
            ),
            given_up: metrics.register(
                "booking_worker_given_up",
                "Places that failed because booking-service could not answer",
                Counter::default(),
            ),
            processed: metrics.register(
                "booking_worker_items_processed",
                "Places served, by what became of them",
                Family::default(),
            ),
            errors: metrics.register(
                "booking_worker_errors",
                "Calls that failed, by whom they were for",
                Family::default(),
            ),
        }
    }

    pub(crate) fn processed(&self, outcome: &'static str) {
        self.processed.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn failed(&self, callee: &'static str) {
        self.errors.get_or_create(&[("callee", callee)]).inc();
    }
}
