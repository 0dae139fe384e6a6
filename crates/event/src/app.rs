//! The handles that every verb gets.

use std::sync::Arc;

use db::Db;
use kernel::{Caller, Clock, Code, Failure, Ids, OrganizationId};
use platform::{Metrics, Tasks, outbox::Outbox};
use prometheus_client::metrics::{counter::Counter, family::Family};
use tokio::sync::Notify;
use wire::Wire;

use crate::{
    cache::Cache,
    domain::{Change, Status},
    error::Error,
};

/// What the verbs work with.
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) outbox: Outbox,
    pub(crate) tasks: Tasks,
    pub(crate) ticket: Wire,
    pub(crate) cache: Cache,
    /// Has due events looked for at once.
    pub(crate) due: Arc<Notify>,
    pub(crate) advance_batch: u32,
    pub(crate) counters: Counters,
}

/// What is counted.
#[derive(Clone)]
pub(crate) struct Counters {
    pub(crate) quotes: Counter,
    steps: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Counters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let steps = Family::default();
        Self {
            quotes: metrics.register("event_quotes", "Quotes given", Counter::default()),
            steps: metrics.register("event_status_steps", "Steps of events, by status", steps),
        }
    }

    pub(crate) fn stepped(&self, to: Status) {
        self.steps.get_or_create(&[("to", to.as_str())]).inc();
    }
}

impl App {
    /// What follows once steps or edits of `events` are durable.
    pub(crate) async fn committed(&self, event: kernel::EventId, changes: &[Change]) {
        self.outbox.wake();
        self.due.notify_one();
        self.cache.forget(event).await;
        for change in changes {
            self.counters.stepped(change.to);
        }
    }
}

/// For whom a caller may run venues and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    /// For every organization.
    Operator,
    /// For its own.
    Organization(OrganizationId),
}

impl Authority {
    /// The caller's authority.
    ///
    /// # Errors
    /// If it runs nothing: it has not signed in, or belongs to no organization.
    pub(crate) fn of(caller: &Caller) -> Result<Self, Error> {
        match caller {
            caller if caller.is_operator() => Ok(Self::Operator),
            Caller::Account {
                role: kernel::Role::Organization, organization: Some(own), ..
            } => Ok(Self::Organization(*own)),
            Caller::Anonymous => {
                let detail = "sign in first";
                Err(Failure::new(Code::Unauthenticated, "UNAUTHENTICATED", detail).into())
            }
            _ => Err(Failure::forbidden("only for organizations").into()),
        }
    }

    /// Whether it reaches `organization`.
    pub(crate) fn covers(self, organization: OrganizationId) -> bool {
        match self {
            Self::Operator => true,
            Self::Organization(own) => own == organization,
        }
    }
}

/// Who made a change, as the history has it.
pub(crate) fn actor(caller: &Caller) -> String {
    match caller {
        Caller::Account { id, .. } => format!("account:{id}"),
        Caller::Service(name) => format!("service:{name}"),
        Caller::Anonymous => "anonymous".to_owned(),
    }
}
