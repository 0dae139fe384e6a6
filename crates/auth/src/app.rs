//! The handles that every verb gets.

use std::sync::Arc;

use aws_lc_rs::hmac;
use db::Db;
use kernel::{Clock, Ids, Secret, Timestamp};
use platform::{Metrics, Tasks, outbox::Outbox};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use crate::{Config, keys::Keys, passwords::Passwords};

pub(crate) struct App {
    pub db: Db,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub outbox: Outbox,
    pub tasks: Tasks,
    pub passwords: Passwords,
    pub keys: Keys,
    pub pin_key: hmac::Key,
    pub config: Config,
    pub attempts: Attempts,
}

impl App {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The keyed hash under which a PIN is stored: six digits alone could be tried out.
    pub(crate) fn pin_hash(&self, account: kernel::AccountId, pin: &str) -> Vec<u8> {
        let text = format!("{account}/{pin}");
        hmac::sign(&self.pin_key, text.as_bytes()).as_ref().to_vec()
    }
}

pub(crate) fn pin_key(secret: &Secret<Vec<u8>>) -> hmac::Key {
    let purpose = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()), b"auth pin");
    hmac::Key::new(hmac::HMAC_SHA256, purpose.as_ref())
}

/// `auth_attempts_total` by method and outcome.
#[derive(Clone)]
pub(crate) struct Attempts(Family<AttemptLabels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    method: &'static str,
    status: &'static str,
}

impl Attempts {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let family = Family::<AttemptLabels, Counter>::default();
        Self(metrics.register("auth_attempts", "tries to register, log in or refresh", family))
    }

    pub(crate) fn count<T, E>(&self, method: &'static str, result: &Result<T, E>) {
        let status = if result.is_ok() { "ok" } else { "refused" };
        self.0.get_or_create(&AttemptLabels { method, status }).inc();
    }
}
