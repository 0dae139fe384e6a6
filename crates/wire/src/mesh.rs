//! Who can be called, and where it is: a server in this process, or addresses of another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{FutureExt, join_all};
use kernel::{Clock, Failure, Secret};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    Context, Tls, Wire,
    guard::{Guard, MAX_UNDER_WAY, Server},
    health,
    identity::Signer,
    methods,
    metrics::Calls,
    pb, server,
    target::Target,
    tls::Identity,
};

/// How services reach each other.
pub struct MeshSettings {
    /// Signs the caller's identity between services; the same in every process.
    pub key: Secret<Vec<u8>>,
    /// Who may call whom: `("booking", &["event", "payment", "ticket"])`.
    pub calls: &'static [(&'static str, &'static [&'static str])],
    /// Addresses (`http://host:port`; with `tls`, `https://host:port`) of services that run
    /// elsewhere; all others are in this process.
    pub remotes: BTreeMap<String, Vec<String>>,
    /// Certificates that all processes show each other; without, sockets are plain.
    pub tls: Option<Tls>,
    /// The deadline of a call that brings none.
    pub deadline: Duration,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

/// Hands out [`Wire`]s, and only those that the call graph lists. Cheap to clone.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

struct Inner {
    calls: &'static [(&'static str, &'static [&'static str])],
    shared: Arc<Shared>,
    /// By service; those in this process are made when somebody asks for them.
    targets: Mutex<BTreeMap<String, Arc<Target>>>,
    filled: Mutex<BTreeSet<&'static str>>,
    /// What each filled service says about its health.
    reporters: Mutex<Vec<(&'static str, HealthReporter)>>,
}

/// What every wire and every server of a mesh uses.
pub(crate) struct Shared {
    pub(crate) signer: Signer,
    /// The deadline of a call that brings none.
    pub(crate) deadline: Duration,
    pub(crate) server: Calls,
    pub(crate) client: Calls,
    breakers: Family<ReplicaLabels, Gauge>,
    healthy: Family<ReplicaLabels, Gauge>,
    /// Whether somebody looks after the replicas.
    watched: AtomicBool,
    clock: Arc<dyn Clock>,
    tls: Option<RwLock<Arc<Identity>>>,
    /// Tells this mesh from those of other processes, in correlation ids.
    origin: String,
    sequence: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabels {
    service: String,
    address: String,
}

/// A wire that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The call graph doesn't list it.
    #[error("{from} may not call {to}")]
    NotListed {
        /// Who wants to call.
        from: String,
        /// Whom.
        to: String,
    },
    /// An address is no address.
    #[error("{service}: {address:?} is not an address: {detail}")]
    BadAddress {
        /// Whose address it is.
        service: String,
        /// The address.
        address: String,
        /// What is wrong.
        detail: String,
    },
    /// The certificates can't be used.
    #[error("tls {part}: {detail}")]
    BadTls {
        /// Which of the parts.
        part: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The slot of a local service was filled before.
    #[error("{0} is already being served in this process")]
    Filled(String),
    /// The contracts' descriptors can't be served for reflection.
    #[error("the contracts can't be described: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

impl Mesh {
    /// A mesh with all slots empty. Calls to a local service wait for nothing: before its slot is
    /// filled they fail as unavailable.
    ///
    /// # Errors
    /// If an address is no address, or the certificates can't be used.
    pub fn new(settings: MeshSettings) -> Result<Self, MeshError> {
        let MeshSettings { key, calls, remotes, tls, deadline, clock } = settings;
        let tls = tls.map(|tls| Identity::new(&tls, clock.clone())).transpose()?;
        let shared = Arc::new(Shared {
            origin: format!("{:x}-{:x}", clock.now().micros(), std::process::id()),
            signer: Signer::new(&key, clock.clone()),
            deadline,
            server: Calls::new(),
            client: Calls::new(),
            breakers: Family::default(),
            healthy: Family::default(),
            watched: AtomicBool::new(false),
            clock,
            tls: tls.map(|identity| RwLock::new(Arc::new(identity))),
            sequence: AtomicU64::new(0),
        });
        let mut targets = BTreeMap::new();
        for (service, addresses) in remotes {
            let target = Target::remote(&service, &addresses, shared.clone());
            let target = target.map_err(|(address, detail)| {
                let service = service.clone();
                MeshError::BadAddress { service, address, detail }
            })?;
            targets.insert(service, Arc::new(target));
        }
        let (targets, filled) = (Mutex::new(targets), Mutex::default());
        let reporters = Mutex::default();
        Ok(Self(Arc::new(Inner { calls, shared, targets, filled, reporters })))
    }

    /// The wire from service `from` to service `to`, which speaks as the service `from` until told
    /// otherwise.
    ///
    /// # Errors
    /// If the call graph doesn't list it.
    pub fn wire(&self, from: &str, to: &str) -> Result<Wire, MeshError> {
        let mut callees = self.0.calls.iter().filter(|(caller, _)| *caller == from);
        if !callees.any(|(_, callees)| callees.contains(&to)) {
            return Err(MeshError::NotListed { from: from.to_owned(), to: to.to_owned() });
        }
        let target = self.target(to);
        target.want();
        Ok(Wire::new(target, Context::service(from)))
    }

    /// Wraps a service's server in the server stack (identity check, deadline, trace, metrics, load
    /// shedding, panics caught), puts it into its slot, and returns it for the listener, with
    /// health and reflection of what is served.
    ///
    /// # Errors
    /// If the slot was filled before.
    pub fn fill(
        &self,
        service: &'static str,
        server: impl Into<Server>,
    ) -> Result<axum::Router, MeshError> {
        let names = methods::grpc_services(service);
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health")
            .with_service_name("grpc.reflection.v1.ServerReflection");
        for name in names {
            // Nobody else holds the reporter yet, so this is done at once.
            let _ = reporter.set_service_status(name, ServingStatus::Serving).now_or_never();
            reflection = reflection.with_service_name(name);
        }
        let listener = Routes::new(health).add_service(reflection.build_v1()?);
        let mut filled = self.0.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if !filled.insert(service) {
            return Err(MeshError::Filled(service.to_owned()));
        }
        drop(filled);
        let mut reporters = self.0.reporters.lock().unwrap_or_else(PoisonError::into_inner);
        reporters.push((service, reporter));
        drop(reporters);
        let guard = Guard::new(service, server.into(), self.0.shared.clone(), MAX_UNDER_WAY);
        self.target(service).fill(&guard);
        Ok(listener.into_axum_router().fallback_service(guard))
    }

    /// Serves `routes` (as [`Mesh::fill`] returned them, with health and reflection) on `listener`
    /// until `stop`; then lets calls under way finish, for ten seconds at most. With TLS, only
    /// clients with a certificate get in.
    ///
    /// # Errors
    /// If the listener fails.
    pub fn serve(
        &self,
        listener: TcpListener,
        routes: axum::Router,
        stop: CancellationToken,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        server::serve(self.0.shared.clone(), listener, routes, stop)
    }

    /// Looks after the replicas of services that run elsewhere, until `stop`: which addresses their
    /// host names stand for, and who of them takes calls. Without it, calls go by breakers alone.
    pub fn watch(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let mesh = self.clone();
        async move {
            let _watching = mesh.0.shared.watching();
            let remotes = mesh.remotes();
            let all = join_all(remotes.iter().map(|target| health::watch(target)));
            tokio::select! {
                () = stop.cancelled() => {}
                _ = all => {}
            }
        }
    }

    /// How each replica of a service that runs elsewhere is, by its own words, asked now; empty if
    /// the service runs in this process.
    pub async fn health_of(&self, service: &str) -> Vec<(String, Result<(), Failure>)> {
        let remotes = self.remotes();
        match remotes.iter().find(|target| target.service == service) {
            Some(target) => health::ask_all(target).await,
            None => Vec::new(),
        }
    }

    /// Says on every health service of this process that it takes no more calls, so that callers
    /// go elsewhere; calls that come all the same are answered. To be followed by the stop: callers
    /// who [`watch`](Mesh::watch) notice within two seconds.
    pub async fn drain(&self) {
        let reporters = self.0.reporters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (service, reporter) in reporters {
            for name in methods::grpc_services(service).into_iter().chain([""]) {
                reporter.set_service_status(name, ServingStatus::NotServing).await;
            }
        }
    }

    /// Takes up new certificates, for connections from now on; those that are open stay.
    ///
    /// # Errors
    /// If they can't be used, or the mesh had none to begin with; nothing has changed then.
    pub fn reload_tls(&self, tls: &Tls) -> Result<(), MeshError> {
        let shared = &self.0.shared;
        let Some(current) = &shared.tls else {
            let detail = "sockets are plain since the start".to_owned();
            return Err(MeshError::BadTls { part: "certificate", detail });
        };
        let identity = Arc::new(Identity::new(tls, shared.clock.clone())?);
        *current.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// Adds what is counted about calls to `registry`: `grpc_server_handled`,
    /// `grpc_server_handling_seconds`, the same of the client side, `grpc_client_retries`,
    /// `grpc_client_breaker_state` and `grpc_client_replica_healthy`.
    pub fn register(&self, registry: &mut Registry) {
        let shared = &self.0.shared;
        shared.server.register("server", registry);
        shared.client.register("client", registry);
        registry.register(
            "grpc_client_breaker_state",
            "Circuit breaker of a target: 0 closed, 1 half open, 2 open",
            shared.breakers.clone(),
        );
        registry.register(
            "grpc_client_replica_healthy",
            "Whether a replica in another process would take calls when it was last asked",
            shared.healthy.clone(),
        );
        shared.client.register_retries(registry);
    }

    pub(crate) fn target(&self, service: &str) -> Arc<Target> {
        let mut targets = self.0.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(service) {
            return target.clone();
        }
        let target = Arc::new(Target::local(service, self.0.shared.clone()));
        targets.insert(service.to_owned(), target.clone());
        target
    }

    fn remotes(&self) -> Vec<Arc<Target>> {
        let targets = self.0.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.values().filter(|target| !target.addresses.is_empty()).cloned().collect()
    }
}

impl Shared {
    /// A correlation id that no other call has.
    pub(crate) fn correlation_id(&self) -> Arc<str> {
        let mut id = String::with_capacity(self.origin.len() + 17);
        let _ = write!(id, "{}-{:x}", self.origin, self.sequence.fetch_add(1, Ordering::Relaxed));
        id.into()
    }

    /// `pause`, shortened by up to half, so that callers who failed together don't come back
    /// together.
    pub(crate) fn jittered(&self, pause: Duration) -> Duration {
        // SplitMix64 over the sequence: spread is wanted here, not secrecy.
        let mut bits = self.sequence.fetch_add(1, Ordering::Relaxed);
        bits = bits.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = f64::from((bits >> 32) as u32) / f64::from(u32::MAX);
        pause.mul_f64(1.0 - share / 2.0)
    }

    /// The gauge of the breaker before one replica.
    pub(crate) fn breaker_gauge(&self, service: &str, address: &str) -> Gauge {
        self.breakers.get_or_create_owned(&ReplicaLabels::new(service, address))
    }

    /// The gauge of one replica's health.
    pub(crate) fn health_gauge(&self, service: &str, address: &str) -> Gauge {
        self.healthy.get_or_create_owned(&ReplicaLabels::new(service, address))
    }

    /// Shows no more of a replica that is gone.
    pub(crate) fn forget(&self, service: &str, address: &str) {
        let labels = ReplicaLabels::new(service, address);
        self.breakers.remove(&labels);
        self.healthy.remove(&labels);
    }

    /// The certificates of now, if the mesh has any.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        let identity = self.tls.as_ref()?;
        Some(identity.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    fn watching(&self) -> Watching<'_> {
        self.watched.store(true, Ordering::Relaxed);
        Watching(self)
    }
}

/// While it lives, somebody looks after the replicas.
struct Watching<'a>(&'a Shared);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.watched.store(false, Ordering::Relaxed);
    }
}

impl ReplicaLabels {
    fn new(service: &str, address: &str) -> Self {
        Self { service: service.to_owned(), address: address.to_owned() }
    }
}
