//! A request's whole way: the public door, the call to a service of this process, the answer.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    http::StatusCode,
};
use kernel::{AccountId, EventId, Failure, Role, Secret, SessionId};
use platform::{
    config::Tree,
    http::stack,
    kv::Kv,
    tokens::{Claims, KeySource, SigningKey, Verifier, key_set},
};
use testkit::{ManualClock, TestDb};
use tokio::runtime::{Builder, Runtime};
use tonic::{Response, Status, async_trait};
use tower::ServiceExt;
use wire::{
    Context, Mesh, MeshSettings,
    pb::booking_worker::v1::{self as pb, booking_worker_service_server::BookingWorkerService},
};

use crate::{NOON, Once, seeded};

const SERVICES: [&str; 9] = [
    "auth",
    "booking",
    "booking-worker",
    "email-worker",
    "event",
    "payment",
    "realtime",
    "ticket",
    "user",
];
const CALLS: &[(&str, &[&str])] = &[("gateway", &SERVICES)];
/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 65_536;

/// A gateway, and who is asked behind it.
struct Door {
    runtime: Runtime,
    router: Router,
    path: String,
    token: String,
    clock: Arc<ManualClock>,
    _db: TestDb,
}

/// Between two questions, so that the limit, a million a minute, is never reached.
const PACE: Duration = Duration::from_micros(60);

/// Who waits asks for the own place: known token, limits, one call, an answer of JSON.
pub(crate) fn own_place() -> Once {
    let door = Door::open();
    Box::new(move || door.ask())
}

impl Door {
    #[expect(clippy::expect_used, reason = "a workload that can't be prepared ends the program")]
    fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clock = Arc::new(ManualClock::default());
        let opened = runtime.block_on(gateway(clock.clone()));
        let (router, db, token) = opened.expect("a gateway");
        let path = format!("/api/v1/events/{}/queue/place", EventId::new(&seeded(), NOON));
        Self { runtime, router, path, token, clock, _db: db }
    }

    /// The length of the answer; 0 where it is a refusal.
    fn ask(&self) -> u64 {
        self.clock.advance(PACE);
        let peer: SocketAddr = ([192, 0, 2, 1], 40_000).into();
        let request = Request::get(&self.path).header("authorization", &self.token);
        let Ok(request) = request.extension(ConnectInfo(peer)).body(Body::empty()) else {
            return 0;
        };
        self.runtime.block_on(async {
            let Ok(answer) = self.router.clone().oneshot(request).await;
            let answered = answer.status() == StatusCode::OK;
            let body = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await;
            body.map_or(0, |body| if answered { body.len() as u64 } else { 0 })
        })
    }
}

/// A gateway as the binary has it, before a booking-worker that knows everybody's place; a database
/// that it needs to live; a token.
async fn gateway(clock: Arc<ManualClock>) -> Result<(Router, TestDb, String), Failure> {
    let ids = seeded();
    let now = kernel::Clock::now(&*clock);
    let mesh = Mesh::new(MeshSettings {
        key: Secret::new(b"the key of a workload".to_vec()),
        calls: CALLS,
        remotes: BTreeMap::new(),
        tls: None,
        deadline: Duration::from_secs(10),
        clock: clock.clone(),
    })
    .map_err(Failure::internal)?;
    let server = pb::serve(Places);
    drop(mesh.fill("booking-worker", server).map_err(Failure::internal)?);
    let key = SigningKey::from_pkcs8("one", &SigningKey::generate()?)?;
    let keys = key_set(&[key.jwk()]);
    let source: KeySource = Arc::new(move || {
        let keys = keys.clone();
        Box::pin(async move { Ok(keys) })
    });
    let claims = Claims {
        account: AccountId::new(&ids, now),
        session: SessionId::new(&ids, now),
        role: Role::Individual,
        organization: None,
        expires_at: now.plus(Duration::from_secs(900)),
    };
    let token = format!("Bearer {}", key.sign(&claims, now)?);
    let db = testkit::sqlite(&[]).await;
    let wire = |to| mesh.wire("gateway", to).map_err(Failure::internal);
    let deps = gateway::Deps {
        auth: wire("auth")?,
        user: wire("user")?,
        event: wire("event")?,
        ticket: wire("ticket")?,
        booking: wire("booking")?,
        payment: wire("payment")?,
        realtime: wire("realtime")?,
        booking_worker: wire("booking-worker")?,
        email_worker: wire("email-worker")?,
        kv: Kv::memory(db.db.clone(), clock.clone()).await.map_err(Failure::internal)?,
        access: Verifier::new(source, clock),
        pages: Router::new(),
    };
    let mut tree = Tree::new();
    tree.defaults(gateway::NAME, gateway::CONFIG).map_err(Failure::internal)?;
    for limit in ["account_burst", "account_per_minute"] {
        tree.set(&format!("gateway.{limit}"), "1000000").map_err(Failure::internal)?;
    }
    let config = tree.section(gateway::NAME).map_err(Failure::internal)?;
    let mut unit = gateway::build(config, deps).map_err(Failure::internal)?;
    let router = unit.http.take().unwrap_or_default();
    Ok((stack(router, &unit), db, token))
}

/// A booking-worker in whose queue everybody has the same place.
struct Places;

#[async_trait]
impl BookingWorkerService for Places {
    async fn get_place(
        &self,
        request: tonic::Request<pb::GetPlaceRequest>,
    ) -> Result<Response<pb::Place>, Status> {
        let account = Context::of(&request).caller.account().map_err(wire::status)?;
        let mut place = pb::Place {
            event_id: request.into_inner().event_id,
            account_id: account.to_string(),
            number: 40_017,
            serving: 12_000,
            position: 28_017,
            estimated_wait_seconds: 420,
            joined_at_us: NOON.micros(),
            ..pb::Place::default()
        };
        place.set_status(pb::PlaceStatus::Waiting);
        Ok(Response::new(place))
    }

    async fn join_queue(
        &self,
        _: tonic::Request<pb::JoinQueueRequest>,
    ) -> Result<Response<pb::Place>, Status> {
        Err(Status::unimplemented("nobody joins"))
    }

    async fn leave_queue(
        &self,
        _: tonic::Request<pb::LeaveQueueRequest>,
    ) -> Result<Response<pb::LeaveQueueResponse>, Status> {
        Err(Status::unimplemented("nobody leaves"))
    }

    async fn get_queue(
        &self,
        _: tonic::Request<pb::GetQueueRequest>,
    ) -> Result<Response<pb::Queue>, Status> {
        Err(Status::unimplemented("nobody looks"))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_door_answers_instead_of_refusing() {
        let mut ask = super::own_place();
        for _ in 0..10 {
            assert!(ask() > 0);
        }
    }
}
