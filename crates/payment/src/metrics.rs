//! What is counted.

use platform::Metrics as Registry;
use prometheus_client::metrics::{
    counter::Counter,
    family::Family,
    histogram::{Histogram, exponential_buckets},
};

use crate::{domain::State, stripe::Exchange};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The service's own metrics.
pub(crate) struct Metrics {
    registry: Registry,
    transitions: Family<Labels<1>, Counter>,
    provider_calls: Family<Labels<2>, Counter>,
    provider_seconds: Histogram,
    webhooks: Family<Labels<1>, Counter>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let buckets = Histogram::new(exponential_buckets(0.005, 2.0, 12));
        Self {
            registry: registry.clone(),
            transitions: registry.register(
                "payment_transitions",
                "Status changes of payments, by the state they led to",
                Family::default(),
            ),
            provider_calls: registry.register(
                "payment_provider_calls",
                "Calls to the payment provider, by operation and outcome",
                Family::default(),
            ),
            provider_seconds: registry.register(
                "payment_provider_duration_seconds",
                "How long calls to the payment provider took, tries together",
                buckets,
            ),
            webhooks: registry.register(
                "payment_webhooks",
                "Webhooks of the payment provider, by what came of them",
                Family::default(),
            ),
        }
    }

    /// All metrics of the service in the text format of OpenMetrics.
    pub(crate) fn encode(&self) -> String {
        self.registry.encode()
    }

    pub(crate) fn transition(&self, to: State) {
        self.transitions.get_or_create(&[("to", to.as_str())]).inc();
    }

    pub(crate) fn provider_call(&self, exchange: &Exchange) {
        let labels = [("operation", exchange.operation), ("outcome", exchange.outcome)];
        self.provider_calls.get_or_create(&labels).inc();
        self.provider_seconds.observe(exchange.duration.as_secs_f64());
    }

    pub(crate) fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&[("outcome", outcome)]).inc();
    }
}
