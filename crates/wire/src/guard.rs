//! What every call passes on its way into a service, whether it comes from a socket or from this
//! process: a limit of calls under way, the caller's identity, the deadline, the span, the count,
//! and a net under panics.

use std::{
    any::Any,
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use kernel::{Code, Failure};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::body::Body;
use tower::Service;
use tracing::Instrument;

use crate::{Context, mesh::Shared, methods, methods::Method, status};

/// Calls that one service works on at a time; one more is refused at once, for it would only wait.
pub(crate) const MAX_UNDER_WAY: usize = 4_096;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What answers the calls of one service: a generated server, which finds the method by itself, or
/// several of them as [`tonic::service::Routes`]. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<dyn Fn(Request<Body>) -> Answering + Send + Sync>);

impl<S> From<S> for Server
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    fn from(server: S) -> Self {
        Self(Arc::new(move |request| Box::pin(server.clone().call(request))))
    }
}

/// A service's server behind the server stack. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guard {
    server: Server,
    door: Arc<Door>,
}

/// What all calls of the service have in common.
struct Door {
    service: &'static str,
    shared: Arc<Shared>,
    limit: Semaphore,
}

impl Guard {
    pub(crate) fn new(
        service: &'static str,
        server: Server,
        shared: Arc<Shared>,
        limit: usize,
    ) -> Self {
        let door = Door { service, shared, limit: Semaphore::new(limit) };
        Self { server, door: Arc::new(door) }
    }

    /// Answers one call; refusals and faults are answers too.
    pub(crate) async fn answer(self, request: Request<Body>) -> Response<Body> {
        let Self { server, door } = self;
        let method = methods::find(request.uri().path());
        let under_way = door.shared.server.begin(method);
        let response = match door.pass(&server, method, request).await {
            Ok(response) => response,
            Err(failure) => status(failure).into_http(),
        };
        under_way.end(code_of(response.headers()));
        response
    }
}

impl Door {
    async fn pass(
        &self,
        server: &Server,
        method: &Method,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let Ok(_place) = self.limit.try_acquire() else {
            let detail = format!("{} has too many calls under way", self.service);
            return Err(Failure::overloaded(detail));
        };
        let deadline = self.establish(&mut request)?;
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(too_late());
        }
        let correlation_id =
            Context::established(request.extensions()).map(|it| &*it.correlation_id);
        let span = tracing::info_span!(
            "rpc",
            service = self.service,
            method = method.name,
            correlation_id
        );
        let answer = AssertUnwindSafe(async move { (server.0)(request).await });
        let answer = answer.catch_unwind().instrument(span);
        let answer = match deadline {
            Some(at) => timeout_at(at, answer).await.map_err(|_| too_late())?,
            None => answer.await,
        };
        match answer {
            Ok(Ok(response)) => Ok(response),
            Err(panic) => Err(Failure::internal(format_args!(
                "{} panicked: {}",
                method.name,
                words_of(&*panic)
            ))),
        }
    }

    /// Makes sure that the request has a context. A wire of this process has put one there and
    /// keeps its deadline; what a peer sent is verified, and its deadline is ours to keep.
    fn establish(&self, request: &mut Request<Body>) -> Result<Option<Instant>, Failure> {
        if Context::established(request.extensions()).is_some() {
            return Ok(None);
        }
        let context = Context::read(request.headers(), &self.shared)?;
        let deadline = context.deadline;
        context.establish(request.extensions_mut());
        Ok(deadline)
    }
}

/// The listener's way in.
impl Service<Request<axum::body::Body>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<axum::body::Body>) -> Self::Future {
        let answer = self.clone().answer(request.map(Body::new));
        Box::pin(async move { Ok(answer.await) })
    }
}

/// The failure of a call whose deadline has passed.
pub(crate) fn too_late() -> Failure {
    Failure::new(Code::Deadline, "DEADLINE_EXCEEDED", "no answer in time")
}

/// The code of a whole answer: an error is in its headers, and nothing there is a success.
pub(crate) fn code_of(headers: &HeaderMap) -> tonic::Code {
    let code = headers.get(tonic::Status::GRPC_STATUS);
    code.map_or(tonic::Code::Ok, |code| tonic::Code::from_bytes(code.as_bytes()))
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
