//! The handles that every verb gets.

use std::{sync::Arc, time::Duration};

use db::{Coalescer, CoalescerSettings, Db};
use kernel::{Clock, Failure, Ids, Timestamp};
use platform::{Metrics, Tasks, bus::TICKET_EVENTS, outbox::Outbox};
use wire::Context;

use crate::{
    BuildError, Config, Deps,
    counters::Counted,
    error::Error,
    fresh::FreshHolds,
    keys::Keys,
    ledger::Desk,
    maps::Maps,
    ops::{hold_seats, issue_tickets, release_hold},
};

/// The handles that every verb gets.
pub struct App {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) maps: Arc<Maps>,
    pub(crate) desk: Desk,
    pub(crate) counted: Counted,
    pub(crate) fresh: FreshHolds,
    pub(crate) holds: Coalescer<hold_seats::Wish, hold_seats::Decision, Error>,
    pub(crate) releases: Coalescer<release_hold::Release, release_hold::Decision, Error>,
    pub(crate) sales: Coalescer<issue_tickets::Sale, issue_tickets::Decision, Error>,
}

impl App {
    /// Puts the handles together and loads the signing keys. Starts nothing.
    ///
    /// # Errors
    /// If a value of the configuration can't be used, or the keys can't be loaded.
    pub async fn new(
        config: Config,
        deps: &Deps,
        metrics: &Metrics,
        tasks: Tasks,
    ) -> Result<Self, BuildError> {
        config.check()?;
        let now = deps.clock.now();
        let keys = Keys::load(deps.db.clone(), &deps.secret, &*deps.ids, now).await;
        let keys = keys.map_err(|error| BuildError::Keys(Failure::from(error)))?;
        let db = deps.db.clone();
        let maps = Arc::new(Maps::new(db.clone(), config.cached_events));
        let desk =
            Desk { ids: deps.ids.clone(), outbox: Outbox::new(TICKET_EVENTS), maps: maps.clone() };
        let settings = CoalescerSettings {
            max_batch: config.max_batch,
            max_waiting: config.max_waiting,
            lanes: config.lanes,
        };
        let at = desk.clone();
        let holds = Coalescer::new(db.clone(), settings, move |tx, wishes| {
            let desk = at.clone();
            Box::pin(async move { hold_seats::decide(tx, &desk, wishes).await })
        });
        let at = desk.clone();
        let releases = Coalescer::new(db.clone(), settings, move |tx, releases| {
            let desk = at.clone();
            Box::pin(async move { release_hold::decide(tx, &desk, releases).await })
        });
        let at = desk.clone();
        let sales = Coalescer::new(db.clone(), settings, move |tx, sales| {
            let desk = at.clone();
            Box::pin(async move { issue_tickets::decide(tx, &desk, sales).await })
        });
        Ok(Self {
            db,
            clock: deps.clock.clone(),
            tasks,
            config,
            keys,
            maps,
            desk,
            counted: Counted::register(metrics),
            fresh: FreshHolds::default(),
            holds,
            releases,
            sales,
        })
    }

    /// The outbox whose relay `build` starts.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.desk.outbox
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn availability_ttl(&self) -> Duration {
        Duration::from_millis(self.config.availability_ttl_ms)
    }

    pub(crate) fn ids(&self) -> &dyn Ids {
        &*self.desk.ids
    }
}

/// Refuses everyone but the platform's services and those who run it.
///
/// # Errors
/// `FORBIDDEN`.
pub(crate) fn operators_only(context: &Context) -> Result<(), Error> {
    if context.caller.is_operator() {
        return Ok(());
    }
    Err(Failure::forbidden("for services of the platform only").into())
}
