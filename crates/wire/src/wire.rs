//! One way to call a service, wherever it runs: what generated clients are put on.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use kernel::Failure;
use tokio::time::{Instant, sleep};
use tonic::{Status, body::Body};

use crate::{
    Context,
    context::timeout,
    failure,
    guard::{code, too_late},
    lost::{Lost, is_passing},
    methods::{self, Method},
    metrics::UnderWay,
    replica::{Picked, Replica},
    status,
    target::Target,
};

/// How often an idempotent call is tried at most.
const MAX_ATTEMPTS: usize = 3;
/// The pause before the second attempt; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// A way to one service: put a generated client on it,
/// `TicketServiceClient::new(wire.with(&context))`. Cheap to clone.
#[derive(Clone)]
pub struct Wire {
    target: Arc<Target>,
    context: Context,
}

impl Wire {
    pub(crate) const fn new(target: Arc<Target>, context: Context) -> Self {
        Self { target, context }
    }

    /// The same way, with this context: its caller, correlation id, trace and deadline travel with
    /// each call.
    #[must_use]
    pub fn with(&self, context: &Context) -> Self {
        Self { target: self.target.clone(), context: context.clone() }
    }

    /// Calls the method with this index: `at_hand` where the service is one of this process and
    /// may be called by its trait `S`, else `by_wire`.
    pub(crate) async fn ask<S, M, R, H, W>(
        &self,
        method: usize,
        request: tonic::Request<M>,
        at_hand: impl Fn(Arc<S>, tonic::Request<M>) -> H,
        by_wire: impl FnOnce(Self, tonic::Request<M>) -> W,
    ) -> Result<tonic::Response<R>, Status>
    where
        S: ?Sized + 'static,
        M: Clone,
        H: Future<Output = Result<tonic::Response<R>, Status>>,
        W: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        let (target, method) = (&*self.target, methods::at(method));
        let replicas = target.replicas();
        let Some((guard, service)) = replicas.first().and_then(|replica| replica.at_hand::<S>())
        else {
            // Kept out of this future, which callers move around.
            return Box::pin(by_wire(self.clone(), request)).await;
        };
        let wanted = timeout(request.metadata().as_ref());
        let (under_way, call) =
            Call::begin(target, &replicas, (method, self.context.clone(), wanted));
        let message = request.into_inner();
        let asked = |context: Context, message: M| {
            let id = context.correlation_id.clone();
            let mut request = tonic::Request::new(message);
            context.establish(request.extensions_mut());
            guard.ask(method, id, at_hand(service.clone(), request))
        };
        let answer = match call {
            Err(late) => Err(late),
            Ok(call) if method.is_idempotent() => {
                let deadline = call.deadline;
                call.repeat(|picked, context| picked.ask(deadline, asked(context, message.clone())))
                    .await
            }
            Ok(call) => {
                let deadline = call.deadline;
                call.once(|picked, context| picked.ask(deadline, asked(context, message))).await
            }
        };
        under_way.end(code(&answer));
        answer
    }
}

impl tower::Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(call(self.target.clone(), self.context.clone(), request))
    }
}

async fn call(
    target: Arc<Target>,
    context: Context,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let method = methods::find(request.uri().path());
    let (replicas, wanted) = (target.replicas(), timeout(request.headers()));
    let (under_way, call) = Call::begin(&target, &replicas, (method, context, wanted));
    let answer = match call {
        Err(late) => Err(late),
        Ok(call) if method.is_idempotent() || replicas.len() > 1 => send_again(call, request).await,
        Ok(call) => {
            let until = (call.deadline, false);
            call.once(|picked, context| picked.send(&target, request, context, until)).await
        }
    };
    under_way.end(code(&answer));
    answer
}

async fn send_again(call: Call<'_>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (target, until) = (call.target, (call.deadline, call.method.is_idempotent()));
    call.repeat(|picked, context| {
        let request = picked.replica.copy(&parts, &body);
        picked.send(target, request, context, until)
    })
    .await
}

/// A call on its way.
struct Call<'a> {
    target: &'a Target,
    replicas: &'a [Arc<Replica>],
    method: &'static Method,
    context: Context,
    deadline: Instant,
}

impl<'a> Call<'a> {
    /// Begins to count a call, and sees to it that its context says all that it has to.
    ///
    /// # Errors
    /// If it is too late for it.
    fn begin(
        target: &'a Target,
        replicas: &'a [Arc<Replica>],
        (method, mut context, wanted): (&'static Method, Context, Option<Duration>),
    ) -> (UnderWay<'a>, Result<Self, Status>) {
        let under_way = target.shared.client.begin(method);
        let started = under_way.started();
        if let Some(wanted) = wanted {
            context = context.within(started + wanted);
        }
        let deadline = context.deadline.unwrap_or(started + target.shared.deadline);
        context.deadline = Some(deadline);
        if context.correlation_id.is_empty() {
            context.correlation_id = target.shared.correlation_id();
        }
        let in_time = deadline > started;
        let call = Self { target, replicas, method, context, deadline };
        (under_way, in_time.then_some(call).ok_or_else(|| status(too_late())))
    }

    async fn once<T, A>(self, attempt: impl FnOnce(Picked<'a>, Context) -> A) -> Result<T, Status>
    where
        A: Future<Output = Result<T, Lost>>,
    {
        let picked = self.target.pick(self.replicas, &[]).map_err(status)?;
        attempt(picked, self.context).await.map_err(|lost| lost.status)
    }

    /// Tries again what failed for now, for as long as there is time and somebody to ask. What may
    /// have an effect only once is tried again only if no byte of it was sent.
    async fn repeat<T, A>(self, mut send: impl FnMut(Picked<'a>, Context) -> A) -> Result<T, Status>
    where
        A: Future<Output = Result<T, Lost>>,
    {
        let Self { target, replicas, method, ref context, deadline } = self;
        let repeatable = method.is_idempotent();
        let mut tried = Vec::new();
        let mut failed = None;
        for attempt in 1.. {
            let picked = match target.pick(replicas, &tried) {
                Ok(picked) => picked,
                Err(nobody) => return Err(failed.unwrap_or_else(|| status(nobody))),
            };
            if attempt > 1 {
                target.shared.client.again(method);
            }
            let replica = picked.replica;
            let Lost { status: refused, unsent } = match send(picked, context.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(lost) => lost,
            };
            tried.push(replica);
            let others = attempt < replicas.len();
            let elsewhere = unsent && others;
            let failure = failure(&refused);
            // Who has too much to do is not given the same once more.
            let room = failure.reason != "OVERLOADED" || others;
            let anew = repeatable && is_passing(&refused) && room && attempt < MAX_ATTEMPTS;
            let pause = if elsewhere { Duration::ZERO } else { self.pause(attempt, &failure) };
            let left = deadline.saturating_duration_since(Instant::now());
            if !(elsewhere || anew) || left <= pause {
                return Err(refused);
            }
            sleep(pause).await;
            failed = Some(refused);
        }
        Err(failed.unwrap_or_else(|| status(too_late())))
    }

    /// How long to wait after the given attempt has failed.
    fn pause(&self, attempt: usize, failure: &Failure) -> Duration {
        let asked = failure.retry_after_ms.map(Duration::from_millis);
        let factor = 1 << attempt.saturating_sub(1).min(MAX_ATTEMPTS);
        let pause = self.target.shared.jittered(FIRST_PAUSE * factor);
        pause.max(asked.unwrap_or_default())
    }
}
