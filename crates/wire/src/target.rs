//! One service as its callers see it: the replicas that may answer, each behind a circuit breaker.

use std::{
    error::Error,
    io, iter,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use kernel::{Code, Failure};
use tokio::time::{Instant, timeout_at};
use tonic::{
    Status, TimeoutExpired,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt};

use crate::{
    Context,
    breaker::{Breaker, Pass},
    guard::{Guard, code_of, too_late},
    mesh::Shared,
    status,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// An idle connection is asked for a sign of life this often, so that a dead peer is noticed before
/// a call needs it.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A failure's details travel in a header.
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;

pub(crate) struct Target {
    pub(crate) service: String,
    pub(crate) shared: Arc<Shared>,
    replicas: Vec<Replica>,
    /// Where the next call starts to look for a replica.
    turn: AtomicUsize,
}

pub(crate) struct Replica {
    way: Way,
    breaker: Breaker,
}

enum Way {
    /// A server in this process, once it is there.
    Local(OnceLock<Guard>),
    /// Another process; connected when it is first needed.
    Remote { endpoint: Box<Endpoint>, channel: OnceLock<Channel> },
}

impl Target {
    /// The service called `service`, in this process.
    pub(crate) fn local(service: &str, shared: Arc<Shared>) -> Self {
        let breaker = Breaker::new(shared.breaker_gauge(service, "local"));
        let replicas = vec![Replica { way: Way::Local(OnceLock::new()), breaker }];
        Self { service: service.to_owned(), shared, replicas, turn: AtomicUsize::new(0) }
    }

    /// The service called `service`, at `addresses`.
    ///
    /// # Errors
    /// An address that is none, and what is wrong with it.
    pub(crate) fn remote(
        service: &str,
        addresses: &[String],
        shared: Arc<Shared>,
    ) -> Result<Self, (String, String)> {
        let mut replicas = Vec::with_capacity(addresses.len());
        for address in addresses {
            let endpoint = endpoint(address).map_err(|detail| (address.clone(), detail))?;
            let way = Way::Remote { endpoint: Box::new(endpoint), channel: OnceLock::new() };
            let breaker = Breaker::new(shared.breaker_gauge(service, address));
            replicas.push(Replica { way, breaker });
        }
        Ok(Self { service: service.to_owned(), shared, replicas, turn: AtomicUsize::new(0) })
    }

    /// Puts the server of this process in its place, if this is its place.
    pub(crate) fn fill(&self, guard: &Guard) {
        for replica in &self.replicas {
            if let Way::Local(slot) = &replica.way {
                slot.get_or_init(|| guard.clone());
            }
        }
    }

    /// A replica that takes calls, in turn, and leave to call it.
    ///
    /// # Errors
    /// `UNAVAILABLE` if there is none.
    pub(crate) fn pick(&self) -> Result<(&Replica, Pass<'_>), Failure> {
        let start = match self.replicas.len() {
            0 | 1 => 0,
            several => self.turn.fetch_add(1, Ordering::Relaxed) % several,
        };
        let (before, from) = self.replicas.split_at_checked(start).unwrap_or_default();
        let mut shortest: Option<Duration> = None;
        for replica in from.iter().chain(before) {
            if matches!(&replica.way, Way::Local(slot) if slot.get().is_none()) {
                continue;
            }
            match replica.breaker.admit() {
                Ok(pass) => return Ok((replica, pass)),
                Err(left) => shortest = Some(shortest.map_or(left, |other| other.min(left))),
            }
        }
        let Some(left) = shortest else {
            return Err(Failure::unavailable(format_args!("{} is not served yet", self.service)));
        };
        let detail = format!("{} has failed too often, and is given a pause", self.service);
        let failure = Failure::new(Code::Unavailable, "CIRCUIT_OPEN", detail);
        Err(failure.retry_after(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Sends a request to a replica, and reports to its breaker how it went. An answer that is a
    /// failure is an error.
    pub(crate) async fn send(
        &self,
        (replica, pass): (&Replica, Pass<'_>),
        mut request: Request<Body>,
        context: Context,
        deadline: Instant,
    ) -> Result<Response<Body>, Status> {
        let answer = match &replica.way {
            Way::Local(slot) => {
                let Some(guard) = slot.get().cloned() else {
                    return Err(status(Failure::unavailable("not served yet")));
                };
                context.establish(request.extensions_mut());
                timeout_at(deadline, guard.answer(request)).await.map(Ok)
            }
            Way::Remote { endpoint, channel } => {
                context.write(request.headers_mut(), &self.shared);
                let channel = channel.get_or_init(|| endpoint.connect_lazy()).clone();
                timeout_at(deadline, self.exchange(channel, request, deadline)).await
            }
        };
        let answer = answer.unwrap_or_else(|_| Err(status(too_late()))).and_then(settle);
        pass.report(matches!(&answer, Err(status) if is_passing(status)));
        answer
    }

    /// A whole exchange over a channel, to the answer's last byte.
    async fn exchange(
        &self,
        mut channel: Channel,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Body>, Status> {
        let lost = |error: &(dyn Error + 'static)| self.lost(error, deadline);
        let ready = channel.ready().await.map_err(|error| lost(&error))?;
        let response = ready.call(request).await.map_err(|error| lost(&error))?;
        let (parts, body) = response.into_parts();
        if parts.status.is_server_error() {
            return Err(lost(&io::Error::other(parts.status.to_string())));
        }
        let body = body.collect().await.map_err(|error| lost(&error))?;
        if let Some(failed) = body.trailers().and_then(Status::from_header_map)
            && failed.code() != tonic::Code::Ok
        {
            return Err(failed);
        }
        Ok(Response::from_parts(parts, Body::new(body)))
    }

    /// The status of a call that got no answer: nobody knows what became of it.
    fn lost(&self, error: &(dyn Error + 'static), deadline: Instant) -> Status {
        let mut chain = iter::successors(Some(error), |&error| error.source());
        let words: Vec<String> = chain.clone().map(ToString::to_string).collect();
        tracing::debug!(service = self.service, error = words.join(": "), "call lost");
        if chain.any(|error| error.is::<TimeoutExpired>()) || deadline <= Instant::now() {
            return status(too_late());
        }
        status(Failure::unavailable(format_args!("{} can't be reached", self.service)))
    }
}

/// Turns an answer that is a failure into an error. A peer's own stack may have run into the
/// deadline before ours, and calls that cancelled.
fn settle(response: Response<Body>) -> Result<Response<Body>, Status> {
    match code_of(response.headers()) {
        tonic::Code::Ok => Ok(response),
        tonic::Code::Cancelled => Err(status(too_late())),
        _ => match Status::from_header_map(response.headers()) {
            Some(failed) => Err(failed),
            None => Ok(response),
        },
    }
}

/// Whether the same call may succeed later or elsewhere.
pub(crate) fn is_passing(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::DeadlineExceeded)
}

fn endpoint(address: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| error.to_string())?;
    let uri = endpoint.uri();
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err("must be http://host:port".to_owned());
    }
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES))
}
