//! A ticket-service as the binary runs it, called over a wire as booking-service calls it: mesh,
//! stack, verb, coalescer, outbox with its relay, sweep of lapsed holds.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use db::{Db, Engine, Settings};
use kernel::{Clock, EventId, OrganizationId, Secret, SystemClock};
use platform::{SystemIds, Tasks, bus::Bus};
use testkit::SeededIds;
use wire::{
    Mesh, MeshSettings,
    pb::{
        event::v1::SeatingPlan,
        ticket::v1::{OpenInventoryRequest, client::TicketServiceClient},
    },
};

use crate::Failure;

/// How a caller of the service speaks to it.
pub(crate) type Client = TicketServiceClient;

/// How requests come to their transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    /// Requests in a transaction and transactions at once; none: as shipped.
    pub(crate) batch_and_lanes: Option<(usize, usize)>,
}

/// As shipped.
pub(crate) const COALESCED: Way = Way { name: "coalesced", batch_and_lanes: None };

const CALL_LIMIT: Duration = Duration::from_secs(30);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const SETTLE_PERIOD: Duration = Duration::from_millis(10);
const SALE: Duration = Duration::from_secs(30 * 86_400);

/// The service on a database of its own.
pub(crate) struct House {
    /// Its database.
    pub(crate) db: Db,
    /// Where callers' ids come from.
    pub(crate) ids: Arc<SeededIds>,
    mesh: Mesh,
    log: Db,
    tracked: [Tasks; 2],
}

impl House {
    /// Starts it on the database at `url`, with an event log in the file `log`.
    pub(crate) async fn open(url: &str, log: &Path, way: Way) -> Result<Self, Failure> {
        let db = Db::open(&Settings::new(url)).await?;
        db.migrate(&[&platform::MIGRATIONS, &ticket::MIGRATIONS]).await?;
        let log = Db::open(&Settings::new(format!("sqlite:{}", log.display()))).await?;
        let log_tasks = Tasks::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let deps = ticket::Deps {
            db: db.clone(),
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
            bus: Bus::memory(log.clone(), log_tasks.clone()).await?,
            secret: Secret::new(vec![1; 32]),
        };
        let mut config: ticket::Config = toml::from_str(ticket::CONFIG)?;
        if let Some((batch, lanes)) = way.batch_and_lanes {
            (config.max_batch, config.lanes) = (batch, lanes);
        }
        let unit = ticket::build(config, deps).await?;
        let mesh = Mesh::new(MeshSettings {
            key: Secret::new(vec![2; 32]),
            calls: &[("booking", &["ticket"]), ("event", &["ticket"])],
            remotes: BTreeMap::new(),
            tls: None,
            deadline: CALL_LIMIT,
            clock: clock.clone(),
        })?;
        let _nobody_listens = mesh.fill(ticket::NAME, unit.grpc.ok_or("no grpc face")?)?;
        for start in unit.tasks {
            start(unit.tracked.clone());
        }
        let began = u64::try_from(clock.now().micros())?;
        let ids = Arc::new(SeededIds::new(began));
        Ok(Self { db, ids, mesh, log, tracked: [unit.tracked, log_tasks] })
    }

    /// A client as booking-service has it.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.mesh.wire("booking", ticket::NAME)?))
    }

    /// A client as event-service has it, which opens inventories.
    pub(crate) fn opener(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.mesh.wire("event", ticket::NAME)?))
    }

    /// Opens the inventories of so many events, as event-service does, and returns their ids.
    pub(crate) async fn open_events(
        &self,
        count: u32,
        plan: &SeatingPlan,
    ) -> Result<Vec<String>, Failure> {
        let mut client = self.opener()?;
        let mut opened = Vec::new();
        for _ in 0..count {
            let now = SystemClock.now();
            let event_id = EventId::new(&*self.ids, now).to_string();
            let request = OpenInventoryRequest {
                event_id: event_id.clone(),
                organization_id: OrganizationId::new(&*self.ids, now).to_string(),
                plan: Some(plan.clone()),
                max_per_hold: 10,
                ends_at_us: now.plus(SALE).micros(),
            };
            client.open_inventory(request).await?;
            opened.push(event_id);
        }
        Ok(opened)
    }

    /// Waits until the relay has handed all events to the log. On SQLite there is none: the outbox
    /// is the log.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        const ANY: &str = "select 1 from boxoffice_outbox limit 1";
        if self.db.engine() == Engine::Sqlite {
            return Ok(());
        }
        let settled = async {
            let mut period = tokio::time::interval(SETTLE_PERIOD);
            loop {
                period.tick().await;
                let read = self.db.read(|tx| Box::pin(async move { tx.query_opt(ANY, &[]).await }));
                let left: Result<_, db::Error> = read.await;
                if left?.is_none() {
                    return Ok(());
                }
            }
        };
        let settled = tokio::time::timeout(SETTLE_LIMIT, settled).await;
        settled.map_err(|_| "the relay does not come to an end")?
    }

    /// Stops it, and closes its databases.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        for tasks in &self.tracked {
            if tasks.stop(CALL_LIMIT).await > 0 {
                return Err("tasks that don't stop".into());
            }
        }
        self.db.close().await;
        self.log.close().await;
        Ok(())
    }
}
