//! What only a mesh's edge has: the call graph, empty slots, strangers, health, reflection,
//! replicas, the stop.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use futures_util::stream;
use kernel::{Caller, Clock, Code, Role, Secret, SystemClock, Timestamp};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, async_trait,
    service::Routes,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tower::Service;
use wire::{
    Context, MeshError, MeshSettings, Wire,
    pb::user::v1::{
        GetProfileRequest, Profile, UpdateProfileRequest, client,
        user_service_client::UserServiceClient,
        user_service_server::{UserService, UserServiceServer},
    },
};

use crate::world::{SOON, Script, World, get, listener, mesh, routes, settings};

struct Shifted(i64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now();
        Timestamp::from_micros(now.micros() + self.0 * 1_000_000)
    }
}

/// A user service on a socket of its own.
async fn served() -> (Arc<Script>, std::net::SocketAddr, CancellationToken, JoinSet<()>) {
    served_at(0).await
}

/// The same, with a clock that differs by so many seconds.
async fn served_at(
    shift: i64,
) -> (Arc<Script>, std::net::SocketAddr, CancellationToken, JoinSet<()>) {
    let script = Arc::new(Script::default());
    let mesh = mesh(MeshSettings { clock: Arc::new(Shifted(shift)), ..settings(&[]) });
    let routes = mesh.fill("user", routes(&script)).unwrap();
    let (listener, address) = listener().await;
    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    let serving = mesh.serve(listener, routes, stop.clone());
    servers.spawn(async move { serving.await.expect("a clean end") });
    (script, address, stop, servers)
}

async fn channel(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn only_listed_calls_can_be_had() {
    let mesh = mesh(settings(&[]));
    assert!(mesh.wire("booking", "user").is_ok());
    for (from, to) in [("user", "booking"), ("booking", "auth"), ("", "user"), ("booking", "")] {
        let refused = mesh.wire(from, to).err();
        assert!(matches!(refused, Some(MeshError::NotListed { .. })), "{from} → {to}");
    }
    for address in ["", "127.0.0.1:1", "https://127.0.0.1:1", "http://", "ftp://a:1", "a b"] {
        let remotes = [("user".to_owned(), vec![address.to_owned()])].into();
        let refused = wire::Mesh::new(MeshSettings { remotes, ..settings(&[]) }).err();
        assert!(matches!(refused, Some(MeshError::BadAddress { .. })), "{address:?}");
    }
}

#[tokio::test]
async fn a_slot_is_unavailable_until_it_is_filled_once() {
    let (mesh, script) = (mesh(settings(&[])), Arc::new(Script::default()));
    let wire = mesh.wire("booking", "user").unwrap();
    for _ in 0..20 {
        let status = get(wire.clone(), "hello").await.unwrap_err();
        assert_eq!(wire::failure(&status).code, Code::Unavailable);
    }
    drop(mesh.fill("user", routes(&script)).unwrap());
    get(wire, "hello").await.expect("no breaker has opened over an empty slot");
    assert!(matches!(mesh.fill("user", routes(&script)), Err(MeshError::Filled(_))));
}

#[tokio::test]
async fn who_can_t_prove_who_they_are_is_refused() {
    let (script, address, _stop, _servers) = served().await;
    let keyed = |key: u8, shift: i64| {
        let settings = settings(&[address]);
        let (key, clock) = (Secret::new(vec![key; 32]), Arc::new(Shifted(shift)));
        let mesh = mesh(MeshSettings { key, clock, ..settings });
        mesh.wire("booking", "user").unwrap()
    };
    get(keyed(7, 60), "hello").await.expect("clocks differ a little");
    assert!(script.seen.lock().unwrap().take().is_some());
    for (wire, why) in [(keyed(8, 0), "foreign"), (keyed(7, -300), "stale"), (keyed(7, 300), "new")]
    {
        let status = get(wire, "hello").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated, "{why}");
        assert_eq!(wire::failure(&status).reason, "CALLER_REFUSED", "{why}");
    }
    for forged in ["", "admin", "YWRtaW4.YWRtaW4", "YWRtaW4."] {
        let mut request = Request::new(GetProfileRequest::default());
        request.metadata_mut().insert("x-boxoffice-caller", forged.parse().unwrap());
        let status = UserServiceClient::new(channel(address).await).get_profile(request).await;
        assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated, "{forged:?}");

        // A wire says who calls, whatever was put on the request before.
        for world in World::all().await {
            let ours = Caller::Service("booking".into());
            for caller in [ours, Caller::Anonymous] {
                let mut request = Request::new(GetProfileRequest::default());
                request.metadata_mut().insert("x-boxoffice-caller", forged.parse().unwrap());
                let wire = world.wire.with(&Context::new(caller.clone(), ""));
                client::UserServiceClient::new(wire).get_profile(request).await.unwrap();
                assert_eq!(world.seen().caller, caller, "{}", world.name);
            }
        }
    }
    assert!(script.seen.lock().unwrap().is_none(), "none of them reached the service");

    let request = Request::new(GetProfileRequest::default());
    UserServiceClient::new(channel(address).await).get_profile(request).await.unwrap();
    let seen = script.seen.lock().unwrap().take().unwrap();
    assert_eq!(seen.caller, Caller::Anonymous, "a stranger who claims nothing is nobody");
    assert!(!seen.correlation_id.is_empty() && seen.deadline.is_some());
}

#[tokio::test]
async fn a_signed_caller_can_be_neither_changed_nor_used_later() {
    let (script, address, _stop, _servers) = served().await;
    let (_, later, _later_stop, _later_servers) = served_at(125).await;
    let id = "018f0000-0000-7000-8000-000000000001".parse().unwrap();
    let role = Role::Individual;
    let buyer = Caller::Account { id, role, organization: None, session: None };
    let wire = mesh(settings(&[address])).wire("booking", "user").unwrap();
    get(wire.with(&Context::new(buyer.clone(), "")), "hello").await.unwrap();
    let signed = script.signed.lock().unwrap().take().expect("it came signed");
    assert_eq!(script.seen.lock().unwrap().take().unwrap().caller, buyer);

    let ask = async |address, header: &str| {
        let mut request = Request::new(GetProfileRequest::default());
        request.metadata_mut().insert("x-boxoffice-caller", header.parse().unwrap());
        let answer = UserServiceClient::new(channel(address).await).get_profile(request).await;
        answer.map(drop).map_err(|status| status.code())
    };
    let signed = signed.to_str().unwrap();
    let (line, seal) = signed.split_once('.').unwrap();
    let line = String::from_utf8(BASE64.decode(line).unwrap()).unwrap();
    assert_eq!(ask(address, signed).await, Ok(()), "it is what is checked");
    assert!(line.contains(" individual "), "{line}");
    for changed in [
        line.replace(" individual ", " administrator "),
        line.replace("7000", "7001"),
        line.split_once(" account").unwrap().0.to_owned() + " service booking",
    ] {
        let forged = format!("{}.{seal}", BASE64.encode(&changed));
        let answer = ask(address, &forged).await;
        assert_eq!(answer, Err(tonic::Code::Unauthenticated), "{changed}");
    }
    let answer = ask(later, signed).await;
    assert_eq!(answer, Err(tonic::Code::Unauthenticated), "two minutes later");
}

/// Hands a call on to the next service.
struct Relay(Wire);

#[async_trait]
impl UserService for Relay {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let wire = self.0.with(&Context::of(&request));
        client::UserServiceClient::new(wire).get_profile(request.into_inner()).await
    }

    async fn update_profile(
        &self,
        _: Request<UpdateProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        Err(Status::unimplemented("a relay"))
    }
}

#[tokio::test]
async fn a_deadline_holds_over_two_hops_of_the_network() {
    let (script, address, _stop, mut servers) = served().await;
    let middle = mesh(settings(&[address]));
    let relay = UserServiceServer::new(Relay(middle.wire("booking", "user").unwrap()));
    let routes = middle.fill("booking", Routes::new(relay)).unwrap();
    let (listener, address) = listener().await;
    let serving = middle.serve(listener, routes, CancellationToken::new());
    servers.spawn(async move { serving.await.unwrap() });
    let remotes = [("booking".to_owned(), vec![format!("http://{address}")])].into();
    let wire = mesh(MeshSettings { remotes, ..settings(&[]) }).wire("gateway", "booking").unwrap();

    let deadline = Instant::now() + Duration::from_secs(5);
    let context = Context::service("gateway").within(deadline);
    get(wire.with(&context), "hello").await.unwrap();
    let seen = script.seen.lock().unwrap().take().unwrap();
    assert_eq!(seen.caller, Caller::Service("gateway".into()), "on whose behalf it is");
    let seen = seen.deadline.unwrap();
    let drift = seen.saturating_duration_since(deadline);
    assert!(drift < Duration::from_millis(500), "not five seconds more for each hop: {drift:?}");
    assert!(deadline.saturating_duration_since(seen) < Duration::from_millis(500));

    let started = Instant::now();
    let context = Context::service("gateway").within(started + Duration::from_millis(300));
    let status = timeout(SOON, get(wire.with(&context), "hang")).await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{status:?}");
    script.left.passed(1).await;
    assert!(started.elapsed() < Duration::from_secs(4), "the last hop ended with the first");
}

#[tokio::test]
async fn what_comes_too_late_is_not_begun() {
    let script = Arc::new(Script::default());
    let mut router = mesh(settings(&[])).fill("user", routes(&script)).unwrap();
    let mut ask = async |timeout: &str| {
        let request = http::Request::post("/boxoffice.user.v1.UserService/GetProfile")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout)
            .body(axum::body::Body::from(vec![0; 5]));
        let answer = router.call(request.unwrap()).await.unwrap();
        let status = tonic::Status::from_header_map(answer.headers());
        status.map_or(tonic::Code::Ok, |status| status.code())
    };
    assert_eq!(ask("0u").await, tonic::Code::DeadlineExceeded);
    assert_eq!(script.calls.load(SeqCst), 0);
    assert_eq!(ask("9S").await, tonic::Code::Ok);
    assert_eq!(script.calls.load(SeqCst), 1);
}

#[tokio::test]
async fn a_context_that_did_not_pass_a_server_is_nobodys() {
    let mut request = Request::new(());
    request.metadata_mut().insert("x-boxoffice-caller", "service".parse().unwrap());
    request.extensions_mut().insert(Context::service("booking"));
    assert_eq!(Context::of(&request).caller, Caller::Anonymous);
}

#[tokio::test]
async fn health_and_reflection_tell_what_is_served() {
    let (_script, address, _stop, _servers) = served().await;
    let mut health = HealthClient::new(channel(address).await);
    for service in ["", "boxoffice.user.v1.UserService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service:?}");
    }
    let request = HealthCheckRequest { service: "boxoffice.auth.v1.AuthService".to_owned() };
    assert_eq!(health.check(request).await.unwrap_err().code(), tonic::Code::NotFound);

    let ask = |message| async move {
        let request =
            ServerReflectionRequest { message_request: Some(message), ..Default::default() };
        let mut client = ServerReflectionClient::new(channel(address).await);
        let answers = client.server_reflection_info(stream::iter([request])).await.unwrap();
        answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let health = "grpc.health.v1.Health";
    let reflection = "grpc.reflection.v1.ServerReflection";
    assert_eq!(names, ["boxoffice.user.v1.UserService", health, reflection]);
    for symbol in names {
        let answer = ask(MessageRequest::FileContainingSymbol(symbol.clone())).await;
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{symbol}");
    }
}

#[tokio::test]
async fn a_dead_replica_costs_no_call_that_may_be_repeated() {
    let (_script, alive, _stop, _servers) = served().await;
    let (dead, nowhere) = listener().await;
    drop(dead);
    let mesh = mesh(settings(&[nowhere, alive]));
    let wire = mesh.wire("booking", "user").unwrap();
    for _ in 0..40 {
        get(wire.clone(), "hello").await.expect("the other one answers");
    }
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let (_script, address, stop, mut servers) = served().await;
    let mesh = mesh(settings(&[address]));
    let wire = mesh.wire("booking", "user").unwrap();
    get(wire.clone(), "hello").await.unwrap();
    stop.cancel();
    timeout(SOON, servers.join_next()).await.expect("an idle connection delays nothing");
    let status = get(wire.clone(), "hello").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");

    let script = Arc::new(Script::default());
    let home = self::mesh(settings(&[]));
    let routes = home.fill("user", routes(&script)).unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let serving = home.serve(listener, routes, CancellationToken::new());
    servers.spawn(async move { serving.await.unwrap() });
    get(wire, "hello").await.expect("connected anew");
}

#[tokio::test]
async fn a_stop_lets_a_call_under_way_finish_and_takes_no_new_one() {
    let mut world = World::remote().await;
    let mut calls = JoinSet::new();
    calls.spawn(get(world.wire.clone(), "wait"));
    world.script.entered.passed(1).await;
    world.stop.cancel();
    let refused = async { while world.update("hello").await.is_ok() {} };
    timeout(SOON, refused).await.expect("it closes its door");
    let early = timeout(Duration::ZERO, world.servers.join_next()).await;
    assert!(early.is_err(), "it waits for the call under way");
    world.script.go_on.open();
    let answer = timeout(SOON, calls.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.unwrap().email, "wait");
    let ended = timeout(SOON, world.servers.join_next()).await.expect("it ends");
    ended.unwrap().unwrap().unwrap();
}
