//! The handles that every route gets.

use platform::{Metrics, kv::Kv, tokens::Verifier};
use prometheus_client::metrics::counter::Counter;
use wire::Wire;

use crate::{Config, Deps};

pub(crate) struct App {
    pub auth: Wire,
    pub user: Wire,
    pub event: Wire,
    pub ticket: Wire,
    pub booking: Wire,
    pub payment: Wire,
    pub realtime: Wire,
    pub booking_worker: Wire,
    pub email_worker: Wire,
    pub kv: Kv,
    pub access: Verifier,
    pub refused_by_limit: Counter,
    pub passed_without_limit: Counter,
    pub config: Config,
}

impl App {
    pub(crate) fn new(config: Config, deps: Deps, metrics: &Metrics) -> Self {
        let help = "requests refused by a rate limit";
        Self {
            refused_by_limit: metrics.register(
                "gateway_rate_limit_exceeded",
                help,
                Counter::default(),
            ),
            passed_without_limit: metrics.register(
                "gateway_rate_limit_unavailable",
                "requests that passed uncounted, as rate limits could not be had",
                Counter::default(),
            ),
            auth: deps.auth,
            user: deps.user,
            event: deps.event,
            ticket: deps.ticket,
            booking: deps.booking,
            payment: deps.payment,
            realtime: deps.realtime,
            booking_worker: deps.booking_worker,
            email_worker: deps.email_worker,
            kv: deps.kv,
            access: deps.access,
            config,
        }
    }
}
