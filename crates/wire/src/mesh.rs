//! Who can be called, and where it is: a server in this process, or addresses of another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use kernel::{Clock, Secret};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tonic::service::Routes;
use tonic_health::ServingStatus;

use crate::{
    Context, Wire,
    guard::{Guard, MAX_UNDER_WAY},
    identity::Signer,
    methods,
    metrics::Calls,
    pb,
    target::Target,
};

/// How services reach each other.
pub struct MeshSettings {
    /// Signs the caller's identity between services; the same in every process.
    pub key: Secret<Vec<u8>>,
    /// Who may call whom: `("booking", &["event", "payment", "ticket"])`.
    pub calls: &'static [(&'static str, &'static [&'static str])],
    /// Addresses (`http://host:port`) of services that run elsewhere; all others are in this
    /// process.
    pub remotes: BTreeMap<String, Vec<String>>,
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
}

/// What every wire and every server of a mesh uses.
pub(crate) struct Shared {
    pub(crate) signer: Signer,
    /// The deadline of a call that brings none.
    pub(crate) deadline: Duration,
    pub(crate) server: Calls,
    pub(crate) client: Calls,
    breakers: Family<BreakerLabels, Gauge>,
    /// Tells this mesh from those of other processes, in correlation ids.
    origin: String,
    sequence: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakerLabels {
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
    /// If an address is no address.
    pub fn new(settings: MeshSettings) -> Result<Self, MeshError> {
        let MeshSettings { key, calls, remotes, deadline, clock } = settings;
        let shared = Arc::new(Shared {
            origin: format!("{:x}-{:x}", clock.now().micros(), std::process::id()),
            signer: Signer::new(&key, clock),
            deadline,
            server: Calls::new(),
            client: Calls::new(),
            breakers: Family::default(),
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
        Ok(Self(Arc::new(Inner { calls, shared, targets, filled })))
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
        Ok(Wire::new(self.0.target(to), Context::service(from)))
    }

    /// Wraps a service's routes in the server stack (identity check, deadline, trace, metrics, load
    /// shedding, panics caught), puts them into its slot, and returns them for the listener, with
    /// health and reflection of what is served.
    ///
    /// # Errors
    /// If the slot was filled before.
    pub fn fill(&self, service: &'static str, routes: Routes) -> Result<axum::Router, MeshError> {
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
        let guard = Guard::new(service, routes, self.0.shared.clone(), MAX_UNDER_WAY);
        self.0.target(service).fill(&guard);
        Ok(listener.into_axum_router().fallback_service(guard))
    }

    /// Adds what is counted about calls to `registry`: `grpc_server_handled`,
    /// `grpc_server_handling_seconds`, the same of the client side, and
    /// `grpc_client_breaker_state`.
    pub fn register(&self, registry: &mut Registry) {
        let shared = &self.0.shared;
        shared.server.register("server", registry);
        shared.client.register("client", registry);
        registry.register(
            "grpc_client_breaker_state",
            "Circuit breaker of a target: 0 closed, 1 half open, 2 open",
            shared.breakers.clone(),
        );
    }
}

impl Inner {
    fn target(&self, service: &str) -> Arc<Target> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(service) {
            return target.clone();
        }
        let target = Arc::new(Target::local(service, self.shared.clone()));
        targets.insert(service.to_owned(), target.clone());
        target
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
        let (service, address) = (service.to_owned(), address.to_owned());
        self.breakers.get_or_create_owned(&BreakerLabels { service, address })
    }
}
