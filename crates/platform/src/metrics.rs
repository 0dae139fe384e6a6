//! Prometheus metrics of one service: a registry that is passed down, never a static.

use std::sync::{Arc, Mutex};

use prometheus_client::registry::{Metric, Registry};

/// The metrics of one service. Cheap to clone; registering happens while the service is built.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::default())))
    }

    /// Registers a metric under its full name (`booking_saga_steps`; counters get `_total` by
    /// themselves) and gives it back.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut registry = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register(name, help, metric.clone());
        metric
    }

    /// Whether this is the registry that `other` is.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Lets a part that knows only the registry add its own metrics.
    pub fn extend(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// All metrics in the text format of OpenMetrics.
    #[must_use]
    pub fn encode(&self) -> String {
        let registry = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
