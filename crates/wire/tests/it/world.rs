//! A user service that does as its request says, and the ways to reach it.

use std::{
    collections::BTreeMap,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use kernel::{Clock, Failure, Secret, SystemClock};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, async_trait, metadata::AsciiMetadataValue, service::Routes,
};
use wire::{
    Context, Mesh, MeshSettings, Server, Tls, Wire,
    pb::user::v1::{
        GetProfileRequest, Profile, UpdateProfileRequest,
        client::UserServiceClient,
        serve,
        user_service_server::{UserService, UserServiceServer},
    },
};

use crate::authority::Authority;

pub(crate) const CALLS: &[(&str, &[&str])] =
    &[("booking", &["user"]), ("gateway", &["booking", "user"])];
/// Bounds what should happen at once; reached only when it doesn't happen at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What the service has seen, and what it is to answer.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) calls: AtomicU32,
    pub(crate) seen: Mutex<Option<Context>>,
    /// The caller as it came over the socket.
    pub(crate) signed: Mutex<Option<AsciiMetadataValue>>,
    /// Answered by `fail`, and by `flaky` as often as `flaws` says.
    pub(crate) failure: Mutex<Option<Failure>>,
    pub(crate) flaws: AtomicU32,
    /// A permit for each call that has begun, or was left by its caller.
    pub(crate) entered: Gate,
    pub(crate) left: Gate,
    /// Lets calls that `wait` go on.
    pub(crate) go_on: Gate,
}

pub(crate) struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    pub(crate) fn open(&self) {
        self.0.add_permits(1);
    }

    pub(crate) async fn passed(&self, times: u32) {
        let permits = timeout(SOON, self.0.acquire_many(times)).await;
        permits.expect("it happens soon").unwrap().forget();
    }
}

pub(crate) struct Actor(pub(crate) Arc<Script>);

impl Actor {
    async fn play(&self, act: &str, context: Context) -> Result<Response<Profile>, Status> {
        self.0.calls.fetch_add(1, SeqCst);
        *self.0.seen.lock().unwrap() = Some(context);
        let failure = || wire::status(self.0.failure.lock().unwrap().clone().expect("a failure"));
        let flawed = || self.0.flaws.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        match act {
            "fail" => return Err(failure()),
            "flaky" if flawed().is_ok() => return Err(failure()),
            "panic" => panic!("as told"),
            "hang" => {
                let _left = Leaving(self.0.clone());
                self.0.entered.open();
                pending::<()>().await;
            }
            "wait" => {
                self.0.entered.open();
                self.0.go_on.passed(1).await;
            }
            _ => {}
        }
        Ok(Response::new(Profile { email: act.to_owned(), ..Profile::default() }))
    }
}

struct Leaving(Arc<Script>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.open();
    }
}

#[async_trait]
impl UserService for Actor {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let signed = request.metadata().get("x-boxoffice-caller").cloned();
        *self.0.signed.lock().unwrap() = signed;
        self.play(&request.get_ref().account_id, Context::of(&request)).await
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        self.play(&request.get_ref().account_id, Context::of(&request)).await
    }
}

/// A service and a wire to it. Its server ends with it.
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) script: Arc<Script>,
    pub(crate) wire: Wire,
    /// Where the service listens; nowhere if it is local.
    pub(crate) address: Option<SocketAddr>,
    /// The caller's mesh, and the service's.
    pub(crate) meshes: [Mesh; 2],
    pub(crate) stop: CancellationToken,
    pub(crate) servers: JoinSet<std::io::Result<()>>,
}

impl World {
    /// All ways to the same service.
    pub(crate) async fn all() -> [Self; 4] {
        [Self::at_hand(), Self::local(), Self::remote().await, Self::secured().await]
    }

    /// In the same process, called by its trait, as services are.
    pub(crate) fn at_hand() -> Self {
        Self::inside("at hand", |script| serve(Actor(script.clone())))
    }

    /// In the same process, called by messages.
    pub(crate) fn local() -> Self {
        Self::inside("local", |script| routes(script).into())
    }

    fn inside(name: &'static str, server: impl Fn(&Arc<Script>) -> Server) -> Self {
        let (mesh, script) = (mesh(settings(&[])), Arc::new(Script::default()));
        drop(mesh.fill("user", server(&script)).unwrap());
        let wire = mesh.wire("booking", "user").unwrap();
        let (stop, servers) = (CancellationToken::new(), JoinSet::new());
        Self { name, script, wire, address: None, meshes: [mesh.clone(), mesh], stop, servers }
    }

    pub(crate) async fn remote() -> Self {
        Self::over("remote", settings).await
    }

    pub(crate) async fn secured() -> Self {
        let authority = Authority::new("ours");
        Self::over("tls", |users| secured(users, authority.issue())).await
    }

    async fn over(name: &'static str, settings: impl Fn(&[SocketAddr]) -> MeshSettings) -> Self {
        let (home, script) = (mesh(settings(&[])), Arc::new(Script::default()));
        let routes = home.fill("user", routes(&script)).unwrap();
        let (listener, address) = listener().await;
        let (stop, mut servers) = (CancellationToken::new(), JoinSet::new());
        servers.spawn(home.serve(listener, routes, stop.clone()));
        let mesh = mesh(settings(&[address]));
        let wire = mesh.wire("booking", "user").unwrap();
        Self { name, script, wire, address: Some(address), meshes: [mesh, home], stop, servers }
    }

    /// Calls an idempotent method.
    pub(crate) async fn get(&self, act: &str) -> Result<Profile, Status> {
        get(self.wire.clone(), act).await
    }

    /// Calls a method that is not idempotent.
    pub(crate) async fn update(&self, act: &str) -> Result<Profile, Status> {
        update(self.wire.clone(), act).await
    }

    /// What the service has seen of its last call.
    pub(crate) fn seen(&self) -> Context {
        self.script.seen.lock().unwrap().clone().expect("a call has arrived")
    }

    pub(crate) fn answers(&self, failure: Failure, times: u32) {
        *self.script.failure.lock().unwrap() = Some(failure);
        self.script.flaws.store(times, SeqCst);
    }

    /// How many calls have arrived since this was last asked.
    pub(crate) fn arrived(&self) -> u32 {
        self.script.calls.swap(0, SeqCst)
    }
}

pub(crate) async fn get(wire: Wire, act: &str) -> Result<Profile, Status> {
    let request = GetProfileRequest { account_id: act.to_owned() };
    UserServiceClient::new(wire).get_profile(request).await.map(Response::into_inner)
}

pub(crate) async fn update(wire: Wire, act: &str) -> Result<Profile, Status> {
    let request = UpdateProfileRequest { account_id: act.to_owned(), ..Default::default() };
    UserServiceClient::new(wire).update_profile(request).await.map(Response::into_inner)
}

pub(crate) fn routes(script: &Arc<Script>) -> Routes {
    Routes::new(UserServiceServer::new(Actor(script.clone())))
}

pub(crate) fn settings(users: &[SocketAddr]) -> MeshSettings {
    let users: Vec<String> = users.iter().map(|address| format!("http://{address}")).collect();
    let remotes = (!users.is_empty()).then(|| ("user".to_owned(), users));
    MeshSettings {
        key: Secret::new(vec![7; 32]),
        calls: CALLS,
        remotes: BTreeMap::from_iter(remotes),
        tls: None,
        deadline: SOON,
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
    }
}

/// The same, with these certificates.
pub(crate) fn secured(users: &[SocketAddr], tls: Tls) -> MeshSettings {
    let mut settings = settings(users);
    for address in settings.remotes.values_mut().flatten() {
        *address = address.replace("http://", "https://");
    }
    MeshSettings { tls: Some(tls), ..settings }
}

pub(crate) fn mesh(settings: MeshSettings) -> Mesh {
    Mesh::new(settings).expect("sound settings")
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
