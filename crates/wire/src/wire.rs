//! One way to call a service, wherever it runs: what generated clients are put on.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tonic::{Status, body::Body};

use crate::{
    Context,
    context::timeout,
    failure,
    guard::too_late,
    methods, status,
    target::{Target, is_passing},
};

/// How often an idempotent call is tried at most.
const MAX_ATTEMPTS: u32 = 3;
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
    } else if method.is_idempotent() {
        repeat(&target, context, request, deadline).await
    } else {
        once(&target, context, request, deadline).await
    };
    under_way.end(answer.as_ref().err().map_or(tonic::Code::Ok, Status::code));
    answer
}

async fn once(
    target: &Target,
    context: Context,
    request: Request<Body>,
    deadline: Instant,
) -> Result<Response<Body>, Status> {
    let picked = target.pick().map_err(status)?;
    target.send(picked, request, context, deadline).await
}

/// Tries again what failed for now, for as long as there is time and somebody to ask.
async fn repeat(
    target: &Target,
    context: Context,
    request: Request<Body>,
    deadline: Instant,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut attempt = 1;
    let mut failed = None;
    loop {
        let picked = match target.pick() {
            Ok(picked) => picked,
            Err(nobody) => return Err(failed.unwrap_or_else(|| status(nobody))),
        };
        let again = Request::from_parts(parts.clone(), Body::new(Full::new(body.clone())));
        let refused = match target.send(picked, again, context.clone(), deadline).await {
            Err(refused) if is_passing(&refused) && attempt < MAX_ATTEMPTS => refused,
            answer => return answer,
        };
        let asked = failure(&refused).retry_after_ms.map(Duration::from_millis);
        let pause = target.shared.jittered(FIRST_PAUSE * 2_u32.pow(attempt - 1));
        let pause = pause.max(asked.unwrap_or_default());
        if deadline.saturating_duration_since(Instant::now()) <= pause {
            return Err(refused);
        }
        sleep(pause).await;
        failed = Some(refused);
        attempt += 1;
    }
}
