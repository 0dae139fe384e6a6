//! The handles that every verb gets.

use std::sync::{Arc, Mutex};

use db::Db;
use kernel::{Clock, Ids};
use platform::{Metrics, Tasks};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use crate::{Config, domain::Pace, ops::Letters, provider::Provider, templates::Templates};

pub(crate) struct App {
    pub db: Db,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub tasks: Tasks,
    pub provider: Provider,
    pub templates: Templates,
    /// Stores letters that meet in one transaction.
    pub letters: Letters,
    /// How many mails may be delivered now.
    pub pace: Mutex<Pace>,
    /// Told when there is a mail to deliver.
    pub due: Arc<Notify>,
    pub counts: Counts,
    pub config: Config,
}

/// Deliveries by outcome.
pub(crate) struct Counts {
    pub sent: Counter,
    pub failed_tries: Counter,
    pub given_up: Counter,
}

impl Counts {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        Self {
            sent: counter("email_worker_delivery_success", "mails that a provider took"),
            failed_tries: counter("email_worker_delivery_failure", "tries that failed"),
            given_up: counter("email_worker_given_up", "mails that wait for an operator"),
        }
    }
}
