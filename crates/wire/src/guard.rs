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
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};
use tonic::{Status, body::Body};
use tower::Service;
use tracing::Instrument;

use crate::{Context, mesh::Shared, methods, methods::Method, status};

/// Calls that one service works on at a time; one more is refused at once, for it would only wait.
pub(crate) const MAX_UNDER_WAY: usize = 4_096;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What answers the calls of one service: a generated server, which finds the method by itself, or
/// several of them as [`tonic::service::Routes`]. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    answer: Arc<dyn Fn(Request<Body>) -> Answering + Send + Sync>,
    /// `Arc<dyn …>` of a generated trait, where callers in this process may call it by that.
    at_hand: Option<Arc<dyn Any + Send + Sync>>,
}

impl Server {
    /// The same server, which callers in this process reach by `service`, an `Arc<dyn …>` of the
    /// generated trait: messages go over as they are, and nothing is encoded.
    pub(crate) fn at_hand<S: ?Sized + Send + Sync + 'static>(self, service: Arc<S>) -> Self {
        Self { at_hand: Some(Arc::new(service)), ..self }
    }
}

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
        let answer = move |request| -> Answering { Box::pin(server.clone().call(request)) };
        Self { answer: Arc::new(answer), at_hand: None }
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

    /// The service itself, if it may be called by its trait `S`.
    pub(crate) fn at_hand<S: ?Sized + 'static>(&self) -> Option<&Arc<S>> {
        self.server.at_hand.as_ref()?.downcast_ref()
    }

    /// Has one call of this process answered by `answering`, which calls the service itself.
    pub(crate) async fn ask<R>(
        &self,
        method: &'static Method,
        correlation_id: Arc<str>,
        answering: impl Future<Output = Result<tonic::Response<R>, Status>>,
    ) -> Result<tonic::Response<R>, Status> {
        let under_way = self.door.shared.server.begin(method);
        let answer = match self.door.enter() {
            Ok(_place) => {
                let answer = self.door.watched(method, &correlation_id, answering).await;
                answer.unwrap_or_else(|failure| Err(status(failure)))
            }
            Err(failure) => Err(status(failure)),
        };
        under_way.end(code(&answer));
        answer
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
        let _place = self.enter()?;
        let deadline = self.establish(&mut request)?;
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(too_late());
        }
        let context = Context::established(request.extensions());
        let correlation_id = context.map_or_else(Arc::default, |it| it.correlation_id.clone());
        let answer = async move { (server.answer)(request).await };
        let answer = self.watched(method, &correlation_id, answer);
        let Ok(response) = match deadline {
            Some(at) => timeout_at(at, answer).await.map_err(|_| too_late())??,
            None => answer.await?,
        };
        Ok(response)
    }

    /// A place among the calls under way.
    fn enter(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.limit.try_acquire().map_err(|_| {
            Failure::overloaded(format!("{} has too many calls under way", self.service))
        })
    }

    /// Answers within a span; a panic is a failure.
    async fn watched<T>(
        &self,
        method: &Method,
        correlation_id: &str,
        answer: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let span = tracing::info_span!(
            "rpc",
            service = self.service,
            method = method.name,
            correlation_id
        );
        let answer = AssertUnwindSafe(answer).catch_unwind().instrument(span).await;
        answer.map_err(|panic| {
            Failure::internal(format_args!("{} panicked: {}", method.name, words_of(&*panic)))
        })
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

/// The code with which a call ends.
pub(crate) fn code<T>(answer: &Result<T, Status>) -> tonic::Code {
    answer.as_ref().err().map_or(tonic::Code::Ok, Status::code)
}

/// The code of a whole answer: an error is in its headers, and nothing there is a success.
pub(crate) fn code_of(headers: &HeaderMap) -> tonic::Code {
    let code = headers.get(Status::GRPC_STATUS);
    code.map_or(tonic::Code::Ok, |code| tonic::Code::from_bytes(code.as_bytes()))
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
