//! A gateway before services that note every call and answer what a test says.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use kernel::{AccountId, Caller, Clock, Failure, OrganizationId, Role, Secret, SessionId};
use platform::{
    config::Tree,
    http::{faces, stack},
    kv::Kv,
    tokens::{Claims, KeySource, SigningKey, Verifier, key_set},
};
use prost::Message;
use serde_json::Value;
use testkit::{ManualClock, SeededIds, TestDb};
use tokio::sync::Semaphore;
use tonic::{metadata::MetadataMap, service::Routes};
use tower::ServiceExt;
use wire::{Context, Mesh, MeshSettings, pb};

use crate::{Config, Deps};

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

/// Stands for any id.
pub(super) const ID: &str = "0190a0a0-0000-7000-8000-000000000001";

/// A gateway with nobody but fakes behind it.
pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) key: SigningKey,
    script: Arc<Script>,
    router: Router,
    _db: TestDb,
}

/// What fakes have seen, and what they are to answer, by method; else an empty message.
#[derive(Default)]
struct Script {
    calls: Mutex<Vec<Call>>,
    answers: Mutex<BTreeMap<&'static str, Result<Vec<u8>, Failure>>>,
    /// Methods that answer only as often as they are let.
    stalled: Mutex<BTreeMap<&'static str, Arc<Semaphore>>>,
}

/// A call as it arrived at a service.
#[derive(Debug)]
pub(super) struct Call {
    /// `BookingService/OpenBooking`.
    pub(super) method: String,
    pub(super) context: Context,
    message: Bytes,
}

impl Call {
    pub(super) fn message<M: Message + Default>(&self) -> M {
        M::decode(self.message.clone()).unwrap()
    }
}

/// The section with its defaults.
pub(super) fn defaults() -> Config {
    let mut tree = Tree::new();
    tree.defaults("gateway", crate::CONFIG).unwrap();
    tree.section("gateway").unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(defaults()).await
    }

    pub(super) async fn with(config: Config) -> Self {
        let clock = Arc::new(ManualClock::default());
        let script = Arc::new(Script::default());
        let mesh = Mesh::new(MeshSettings {
            key: Secret::new(b"a key for tests".to_vec()),
            calls: CALLS,
            remotes: BTreeMap::new(),
            tls: None,
            deadline: Duration::from_secs(10),
            clock: clock.clone(),
        });
        let mesh = mesh.unwrap();
        for service in SERVICES {
            let _listener = mesh.fill(service, fake(script.clone())).unwrap();
        }
        let wire = |to| mesh.wire("gateway", to).unwrap();
        let key = new_key("one");
        let keys = key_set(&[key.jwk()]);
        let source: KeySource = Arc::new(move || {
            let keys = keys.clone();
            Box::pin(async move { Ok(keys) })
        });
        let db = testkit::sqlite(&[]).await;
        let deps = Deps {
            auth: wire("auth"),
            user: wire("user"),
            event: wire("event"),
            ticket: wire("ticket"),
            booking: wire("booking"),
            payment: wire("payment"),
            realtime: wire("realtime"),
            booking_worker: wire("booking-worker"),
            email_worker: wire("email-worker"),
            kv: Kv::memory(db.db.clone(), clock.clone()).await.unwrap(),
            access: Verifier::new(source, clock.clone()),
            pages: Router::new().route("/", axum::routing::get(async || "a page")),
        };
        let mut unit = crate::build(config, deps).unwrap();
        let router = unit.http.take().unwrap().merge(faces(&unit));
        let world = Self { clock, key, script, router: stack(router, &unit), _db: db };
        world.answers_what_can_not_be_empty();
        world
    }

    /// Answers that an empty message is no good for.
    fn answers_what_can_not_be_empty(&self) {
        let profile = pb::user::v1::Profile {
            preferences_json: "{}".to_owned(),
            version: 3,
            ..Default::default()
        };
        self.answer("UserService/GetProfile", &profile);
        self.answer("UserService/UpdateProfile", &profile);
        let left = pb::booking_worker::v1::LeaveQueueResponse { left: true };
        self.answer("BookingWorkerService/LeaveQueue", &left);
        let jwks = pb::auth::v1::GetJwksResponse { jwks_json: r#"{"keys":[]}"#.to_owned() };
        self.answer("AuthService/GetJwks", &jwks);
        let ticket = pb::ticket::v1::Ticket { code: "signed".to_owned(), ..Default::default() };
        self.answer("TicketService/GetTicket", &ticket);
    }

    /// Has `method` (`UserService/GetProfile`) answer `message`.
    pub(super) fn answer(&self, method: &'static str, message: &impl Message) {
        self.script.answers.lock().unwrap().insert(method, Ok(message.encode_to_vec()));
    }

    /// Has `method` fail.
    pub(super) fn fail(&self, method: &'static str, failure: Failure) {
        self.script.answers.lock().unwrap().insert(method, Err(failure));
    }

    /// Has `method` wait with each answer for a permit.
    pub(super) fn stall(&self, method: &'static str) -> Arc<Semaphore> {
        let permits = Arc::new(Semaphore::new(0));
        self.script.stalled.lock().unwrap().insert(method, permits.clone());
        permits
    }

    /// How many calls have arrived since [`World::calls`] was last asked.
    pub(super) fn arrived(&self) -> usize {
        self.script.calls.lock().unwrap().len()
    }

    /// The calls that arrived since this was last asked.
    pub(super) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.script.calls.lock().unwrap())
    }

    /// The one call that arrived since this was last asked.
    pub(super) fn call(&self) -> Call {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    /// What a token of somebody with `role` says, good for 15 minutes.
    pub(super) fn claims(&self, role: Role) -> Claims {
        let now = self.clock.now();
        let ids = SeededIds::new(role as u64);
        Claims {
            account: AccountId::new(&ids, now),
            session: SessionId::new(&ids, now),
            role,
            organization: matches!(role, Role::Organization)
                .then(|| OrganizationId::new(&ids, now)),
            expires_at: now.plus(Duration::from_secs(900)),
        }
    }

    /// A token of somebody with `role`.
    pub(super) fn token(&self, role: Role) -> String {
        self.key.sign(&self.claims(role), self.clock.now()).unwrap()
    }

    /// The caller that a token of `role` stands for.
    pub(super) fn caller(&self, role: Role) -> Caller {
        self.claims(role).caller()
    }

    /// Sends a request from address `192.0.2.1`, unless it says otherwise.
    pub(super) async fn send(&self, mut request: Request) -> Answer {
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            let peer: SocketAddr = "192.0.2.1:40000".parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 16 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// A key pair that nobody else has.
pub(super) fn new_key(key_id: &str) -> SigningKey {
    SigningKey::from_pkcs8(key_id, &SigningKey::generate().unwrap()).unwrap()
}

fn fake(script: Arc<Script>) -> Routes {
    Routes::from(Router::new().fallback(async move |request: Request| {
        let (parts, body) = request.into_parts();
        let message = to_bytes(body, 16 << 20).await.unwrap();
        let asked = tonic::Request::from_parts(MetadataMap::new(), parts.extensions, ());
        let path = parts.uri.path();
        let method = path.rsplit_once(".v1.").map_or(path, |(_, method)| method).to_owned();
        let answer = script.answers.lock().unwrap().get(&*method).cloned();
        let context = Context::of(&asked);
        // Behind the frame's flag and length.
        let message = message.slice(5..);
        let stalled = script.stalled.lock().unwrap().get(&*method).cloned();
        script.calls.lock().unwrap().push(Call { method, context, message });
        if let Some(permits) = stalled {
            permits.acquire().await.unwrap().forget();
        }
        match answer.unwrap_or_else(|| Ok(Vec::new())) {
            Ok(message) => answered(&message),
            Err(failure) => wire::status(failure).into_http(),
        }
    }))
}

/// A unary answer: one frame, then the status.
fn answered(message: &[u8]) -> Response<Body> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let ok = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(ok)) });
    let answer = Response::builder().header("content-type", "application/grpc");
    answer.body(Body::new(body)).unwrap()
}

/// A request that is being made.
pub(super) struct Ask(Request);

impl Ask {
    pub(super) fn new(method: Method, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path);
        Self(request.body(Body::empty()).unwrap())
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &str, body: &Value) -> Self {
        Self::new(Method::POST, path).json(body)
    }

    pub(super) fn patch(path: &str, body: &Value) -> Self {
        Self::new(Method::PATCH, path).json(body)
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(super) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.0.body_mut() = body.into();
        self
    }

    pub(super) fn by(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.0.headers_mut().insert(HeaderName::from_static(name), value);
        self
    }

    /// With a key, where one is needed.
    pub(super) fn once(self) -> Self {
        self.header("idempotency-key", "a key")
    }

    pub(super) fn from(mut self, address: &str) -> Self {
        let peer = SocketAddr::new(address.parse().unwrap(), 40_000);
        self.0.extensions_mut().insert(ConnectInfo(peer));
        self
    }

    pub(super) async fn to(self, world: &World) -> Answer {
        world.send(self.0).await
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON of an answer with `status`.
    pub(super) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.json()
    }

    /// The problem of a refusal with `status` and `code`.
    pub(super) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        assert_eq!(problem["correlation_id"], self.header("x-correlation-id"), "{problem}");
        problem
    }

    /// The fields that a 422 names.
    pub(super) fn wrong_fields(&self) -> Vec<String> {
        let problem = self.refused(422, "INVALID_ARGUMENT");
        let errors = problem["errors"].as_array().unwrap();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}
