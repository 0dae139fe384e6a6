//! The metrics of consumer groups.

use std::sync::{Mutex, PoisonError};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use crate::Metrics;

/// The metrics that were registered, by service.
#[derive(Default)]
pub(super) struct Registered(Mutex<Vec<(Metrics, Families)>>);

/// The metrics of the groups of one service.
#[derive(Clone)]
struct Families {
    consumed: Family<Labels, Counter>,
    failed: Family<Labels, Counter>,
    dead_lettered: Family<Labels, Counter>,
    lag: Family<Labels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    group: &'static str,
}

/// The metrics of one group.
#[derive(Clone)]
pub(super) struct Meters {
    pub(super) consumed: Counter,
    pub(super) failed: Counter,
    pub(super) dead_lettered: Counter,
    pub(super) lag: Gauge,
}

impl Registered {
    /// The metrics of `group`, registered once a service.
    pub(super) fn meters(&self, group: &'static str, metrics: &Metrics) -> Meters {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(of, _)| of.is(metrics)).map(|(_, families)| families);
        if let Some(families) = found {
            return families.of(group);
        }
        let families = Families::register(metrics);
        let meters = families.of(group);
        known.push((metrics.clone(), families));
        meters
    }
}

impl Families {
    fn register(metrics: &Metrics) -> Self {
        Self {
            consumed: metrics.register("bus_consumed", "Events handled.", Family::default()),
            failed: metrics.register("bus_failed", "Tries that failed.", Family::default()),
            dead_lettered: metrics.register(
                "bus_dead_lettered",
                "Events given up.",
                Family::default(),
            ),
            lag: metrics.register("bus_lag", "Events not handled yet.", Family::default()),
        }
    }

    fn of(&self, group: &'static str) -> Meters {
        let labels = Labels { group };
        Meters {
            consumed: self.consumed.get_or_create_owned(&labels),
            failed: self.failed.get_or_create_owned(&labels),
            dead_lettered: self.dead_lettered.get_or_create_owned(&labels),
            lag: self.lag.get_or_create_owned(&labels),
        }
    }
}
