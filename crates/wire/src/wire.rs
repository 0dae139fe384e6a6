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
    guard::too_late,
    methods::{self, Method},
    replica::{Lost, Replica, is_passing},
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
    mut context: Context,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let method = methods::find(request.uri().path());
    let under_way = target.shared.client.begin(method);
    let started = under_way.started();
    if let Some(wanted) = timeout(request.headers()) {
        context = context.within(started + wanted);
    }
    let deadline = context.deadline.unwrap_or(started + target.shared.deadline);
    context.deadline = Some(deadline);
    if context.correlation_id.is_empty() {
        context.correlation_id = target.shared.correlation_id();
    }
    let answer = if deadline <= started {
        Err(status(too_late()))
    } else {
        let replicas = target.replicas();
        let call = Call { target: &target, replicas: &replicas, method, context, deadline };
        if method.is_idempotent() || replicas.len() > 1 {
            call.repeat(request).await
        } else {
            call.once(request).await
        }
    };
    under_way.end(answer.as_ref().err().map_or(tonic::Code::Ok, Status::code));
    answer
}

/// A call on its way.
struct Call<'a> {
    target: &'a Target,
    replicas: &'a [Arc<Replica>],
    method: &'static Method,
    context: Context,
    deadline: Instant,
}

impl Call<'_> {
    async fn once(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let picked = self.target.pick(self.replicas, &[]).map_err(status)?;
        let answer = picked.send(self.target, request, self.context, (self.deadline, false)).await;
        answer.map_err(|lost| lost.status)
    }

    /// Tries again what failed for now, for as long as there is time and somebody to ask. What may
    /// have an effect only once is tried again only if no byte of it was sent.
    async fn repeat(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let Self { target, replicas, method, ref context, deadline } = self;
        let repeatable = method.is_idempotent();
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
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
            tried.push(picked.replica);
            let again = picked.replica.copy(&parts, &body);
            let sent = picked.send(target, again, context.clone(), (deadline, repeatable));
            let Lost { status: refused, unsent } = match sent.await {
                Ok(answer) => return Ok(answer),
                Err(lost) => lost,
            };
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
