//! The life of a process: bind sockets → migrate → build → fill the mesh's slots → listen → start
//! tasks → ready; and in reverse: unready → drain → stop tasks → close.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use kernel::{Clock, Ids, SystemClock};
use platform::{
    SystemIds, Tasks, Unit,
    http::{self, Nearby},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::Mesh;

use crate::{
    StartError,
    compose::{self, Parts},
    seed::{self, DemoAccount},
    settings::{Ports, Settings, TlsFiles},
    state::StateDirectory,
    topology::Role,
};

/// The addresses of a service's faces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC.
    pub grpc: Option<SocketAddr>,
    /// HTTP.
    pub http: Option<SocketAddr>,
    /// Health and metrics.
    pub metrics: Option<SocketAddr>,
}

/// Sockets of one service, taken before anything else happens.
#[derive(Default)]
pub(crate) struct Sockets {
    grpc: Option<TcpListener>,
    http: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

/// A process that runs.
pub struct Running {
    addresses: BTreeMap<&'static str, Addresses>,
    new_accounts: Vec<DemoAccount>,
    mailbox: bool,
    state: Option<StateDirectory>,
    drain: Duration,
    stop: CancellationToken,
    mesh: Mesh,
    tls: Option<TlsFiles>,
    servers: Tasks,
    units: Vec<Tasks>,
    shared: Tasks,
    databases: Vec<db::Db>,
}

/// Name of the sandbox's faces among the addresses.
pub const SANDBOX: &str = stripe_sandbox::NAME;

/// Starts the services of `settings`, and answers once all are ready.
///
/// # Errors
/// Why it can't start; nothing is left running then.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let state = match settings.keeps_state() {
        true => Some(StateDirectory::open(&settings.process.state_directory)?),
        false => None,
    };
    let roles = settings.roles()?;
    let mut sockets = bind(&settings, &roles).await?;
    let addresses: BTreeMap<_, _> =
        sockets.iter().map(|(name, sockets)| (*name, sockets.addresses())).collect();

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    let directory = state.as_ref().map(StateDirectory::path);
    let parts = Parts::open(settings, directory, (clock, ids), &addresses).await?;

    let mut running = Running {
        addresses,
        new_accounts: Vec::new(),
        mailbox: parts.settings.has_mailbox(),
        drain: Duration::from_secs(parts.settings.process.drain_seconds),
        stop: CancellationToken::new(),
        mesh: parts.mesh.clone(),
        tls: parts.settings.tls.clone(),
        servers: Tasks::new(),
        units: Vec::new(),
        shared: parts.tasks.clone(),
        databases: parts.databases(),
        state,
    };
    match raise(&mut running, &parts, &roles, &mut sockets).await {
        Ok(()) => Ok(running),
        Err(error) => {
            running.stop().await;
            Err(error)
        }
    }
}

/// Builds every service, then lets all of them listen and work.
async fn raise(
    running: &mut Running,
    parts: &Parts,
    roles: &[Role],
    sockets: &mut BTreeMap<&'static str, Sockets>,
) -> Result<(), StartError> {
    parts.tasks.spawn("replicas", parts.mesh.watch(parts.tasks.stopping()));
    let mut units = Vec::with_capacity(roles.len() + 1);
    for role in roles {
        units.push(compose::build(*role, parts).await?);
    }
    units.extend(compose::sandbox(parts)?);
    // Calls are counted once a process, by service: on the face of the last service, the gateway.
    if let Some(unit) = units.iter().rfind(|unit| unit.name != SANDBOX) {
        unit.metrics.extend(|registry| parts.mesh.register(registry));
    }
    for unit in units {
        let sockets = sockets.remove(unit.name).unwrap_or_default();
        running.listen(unit, sockets, (&parts.mesh, &parts.nearby))?;
    }
    if parts.settings.process.demo && roles.len() == crate::topology::ROLES.len() {
        let made = seed::first_start(
            (&parts.mesh, &*parts.clock),
            &parts.key,
            parts.state_directory.as_deref(),
        );
        running.new_accounts = made.await?;
    }
    Ok(())
}

async fn bind(
    settings: &Settings,
    roles: &[Role],
) -> Result<BTreeMap<&'static str, Sockets>, StartError> {
    let mut names: Vec<&'static str> = roles.iter().map(|role| role.name).collect();
    if settings.runs_sandbox() {
        names.push(SANDBOX);
    }
    let mut all = BTreeMap::new();
    for name in names {
        let ports = settings.listen.get(name).copied().unwrap_or_default();
        let host = &settings.process.host;
        all.insert(name, Sockets::bind(name, host, ports).await?);
    }
    Ok(all)
}

impl Sockets {
    async fn bind(service: &str, host: &str, ports: Ports) -> Result<Self, StartError> {
        let listen = async |face: &'static str, port: Option<u16>| {
            let Some(port) = port else { return Ok(None) };
            TcpListener::bind((host, port)).await.map(Some).map_err(|error| StartError::Listen {
                service: service.to_owned(),
                face,
                address: format!("{host}:{port}"),
                detail: error.to_string(),
            })
        };
        Ok(Self {
            grpc: listen("gRPC", ports.grpc).await?,
            http: listen("HTTP", ports.http).await?,
            metrics: listen("metrics", ports.metrics).await?,
        })
    }

    fn addresses(&self) -> Addresses {
        let address = |listener: &Option<TcpListener>| listener.as_ref()?.local_addr().ok();
        Addresses {
            grpc: address(&self.grpc),
            http: address(&self.http),
            metrics: address(&self.metrics),
        }
    }
}

impl Running {
    /// Fills the service's slot, starts its servers and then its tasks.
    fn listen(
        &mut self,
        mut unit: Unit,
        sockets: Sockets,
        (mesh, nearby): (&Mesh, &Nearby),
    ) -> Result<(), StartError> {
        let faces = http::faces(&unit);
        let own = unit.http.take().unwrap_or_default();
        if let Some(listener) = sockets.http {
            let router = http::stack(own.merge(faces.clone()), &unit);
            if let Ok(address) = listener.local_addr() {
                nearby.add(address, router.clone());
            }
            self.serve_http(listener, router);
        }
        if let Some(listener) = sockets.metrics {
            self.serve_http(listener, faces);
        }
        if let Some(routes) = unit.grpc.take() {
            let routes = mesh.fill(unit.name, routes)?;
            if let Some(listener) = sockets.grpc {
                let serving = mesh.serve(listener, routes, self.stop.clone());
                self.servers.spawn("grpc", async move {
                    if let Err(error) = serving.await {
                        tracing::error!(%error, "grpc server failed");
                    }
                });
            }
        }
        for start in unit.tasks {
            start(unit.tracked.clone());
        }
        self.units.push(unit.tracked);
        Ok(())
    }

    fn serve_http(&self, listener: TcpListener, router: Router) {
        let stop = self.stop.clone();
        self.servers.spawn("http", async move {
            if let Err(error) = http::serve(listener, router, stop).await {
                tracing::error!(%error, "http server failed");
            }
        });
    }

    /// The addresses of the faces of a service, by its name.
    #[must_use]
    pub fn addresses(&self, service: &str) -> Addresses {
        self.addresses.get(service).copied().unwrap_or_default()
    }

    /// All services of this process with their addresses.
    #[must_use]
    pub const fn services(&self) -> &BTreeMap<&'static str, Addresses> {
        &self.addresses
    }

    /// Demo accounts that this start has made, with their passwords; empty at every later start.
    #[must_use]
    pub fn new_accounts(&self) -> &[DemoAccount] {
        &self.new_accounts
    }

    /// Whether the gateway shows the mailbox.
    #[must_use]
    pub const fn has_mailbox(&self) -> bool {
        self.mailbox
    }

    /// Where the state is; none if this process keeps none.
    #[must_use]
    pub fn state_directory(&self) -> Option<&std::path::Path> {
        self.state.as_ref().map(StateDirectory::path)
    }

    /// Reads the certificates again, for connections that are made from now on. Those in use stay
    /// where one can't be read.
    ///
    /// # Errors
    /// The file that can't be read, or what is wrong with it.
    pub fn reload_certificates(&self) -> Result<(), StartError> {
        let Some(files) = &self.tls else { return Ok(()) };
        Ok(self.mesh.reload_tls(&compose::read_tls(files)?)?)
    }

    /// Stops: callers are told to go elsewhere, no new requests, those under way finish, then
    /// tasks, then databases. Takes at most the configured drain time for each of the first two.
    pub async fn stop(self) {
        self.mesh.drain().await;
        self.stop.cancel();
        let mut left = self.servers.stop(self.drain).await;
        // The last service calls the ones before it, so it stops first.
        for unit in self.units.iter().rev() {
            left += unit.stop(self.drain).await;
        }
        left += self.shared.stop(self.drain).await;
        if left > 0 {
            tracing::warn!(
                tasks = left,
                "stopped with tasks under way; they resume at the next start"
            );
        }
        for database in self.databases {
            database.close().await;
        }
    }
}
