//! One place where a service may be answered: in this process, or behind a connection.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use kernel::Failure;
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::ServerName;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt};

use crate::{
    Context,
    breaker::{Breaker, Pass},
    guard::{Guard, code_of, too_late},
    health,
    lost::{Lost, is_fault, lost},
    mesh::Shared,
    socket::{Connector, Place},
    status,
    target::Target,
};

/// A connection is asked for a sign of life this often, and given up without one: after a broken
/// network a new connection works at once, an old one only when TCP gets round to it.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A failure's details travel in a header.
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;

pub(crate) struct Replica {
    way: Way,
    pub(crate) breaker: Breaker,
    under_way: AtomicUsize,
}

enum Way {
    /// A server in this process, once it is there.
    Local(OnceLock<Guard>),
    /// Another process.
    Remote(Box<Remote>),
}

/// A replica in another process.
pub(crate) struct Remote {
    /// What it is called in metrics and logs.
    pub(crate) address: String,
    /// Which of the configured addresses it belongs to.
    pub(crate) of: usize,
    endpoint: Endpoint,
    connector: Connector,
    /// Connected when it is first needed.
    channel: OnceLock<Channel>,
    /// Whether it would take calls when it was last asked; true until then.
    healthy: AtomicBool,
    shown: Gauge,
    /// Told to those who wait for an answer that none will come soon.
    hangs: Notify,
}

/// A configured address.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) text: String,
    endpoint: Endpoint,
    place: Place,
}

/// A replica with leave to make one call.
pub(crate) struct Picked<'a> {
    pub(crate) replica: &'a Replica,
    pass: Pass<'a>,
    _place: Queued<'a>,
}

/// Counts a call among those that have no answer yet.
struct Queued<'a>(&'a AtomicUsize);

impl Address {
    /// Reads `text`: `http://host:port`, or `https://host:port` where the mesh has TLS.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, tls: bool) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(text.to_owned()).map_err(|error| error.to_string())?;
        let uri = endpoint.uri();
        let wanted = if tls { "https" } else { "http" };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        match uri.scheme_str() {
            _ if host.is_empty() => return Err(format!("must be {wanted}://host:port")),
            Some(scheme) if scheme == wanted => {}
            Some("http") => return Err("calls go by TLS here: must be https://host:port".into()),
            Some("https") => return Err("needs certificates, and none are configured".into()),
            _ => return Err(format!("must be {wanted}://host:port")),
        }
        let name = tls.then(|| ServerName::try_from(host.clone())).transpose();
        let name = name.map_err(|error| error.to_string())?;
        let endpoint = endpoint
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES);
        let at = host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
        let place = Place { host, port, at, name };
        Ok(Self { text: text.to_owned(), endpoint, place })
    }

    /// The host and port to look up; none where the address is a number already.
    pub(crate) fn name(&self) -> Option<(&str, u16)> {
        let Place { host, port, at, .. } = &self.place;
        at.is_none().then_some((host, *port))
    }
}

impl Replica {
    /// The service called `service`, in this process.
    pub(crate) fn local(service: &str, shared: &Shared) -> Self {
        let breaker = Breaker::new(shared.breaker_gauge(service, "local"));
        Self { way: Way::Local(OnceLock::new()), breaker, under_way: AtomicUsize::new(0) }
    }

    /// The service called `service` at `address`, the `of`th of those configured; at this one of
    /// its host's addresses, if one is given.
    pub(crate) fn remote(
        service: &str,
        (of, address): (usize, &Address),
        at: Option<SocketAddr>,
        shared: &Arc<Shared>,
    ) -> Self {
        let text = match at {
            Some(at) => format!("{} {at}", address.text),
            None => address.text.clone(),
        };
        let mut place = address.place.clone();
        place.at = at.or(place.at);
        let shown = shared.health_gauge(service, &text);
        shown.set(1);
        let remote = Remote {
            of,
            endpoint: address.endpoint.clone(),
            connector: Connector { place: Arc::new(place), shared: shared.clone() },
            channel: OnceLock::new(),
            healthy: AtomicBool::new(true),
            shown,
            hangs: Notify::new(),
            address: text,
        };
        let breaker = Breaker::new(shared.breaker_gauge(service, &remote.address));
        Self { way: Way::Remote(Box::new(remote)), breaker, under_way: AtomicUsize::new(0) }
    }

    /// A request of these parts. Headers are for other processes: a server of this one knows of a
    /// call what its context says.
    pub(crate) fn copy(&self, parts: &Parts, body: &Bytes) -> Request<Body> {
        let body = Body::new(Full::new(body.clone()));
        match &self.way {
            Way::Local(_) => {
                let mut request = Request::new(body);
                request.method_mut().clone_from(&parts.method);
                request.uri_mut().clone_from(&parts.uri);
                request
            }
            Way::Remote(_) => Request::from_parts(parts.clone(), body),
        }
    }

    /// The service of this process itself and the guard before it, if it may be called by its trait
    /// `S`.
    pub(crate) fn at_hand<S: ?Sized + 'static>(&self) -> Option<(&Guard, &Arc<S>)> {
        let Way::Local(slot) = &self.way else { return None };
        let guard = slot.get()?;
        Some((guard, guard.at_hand()?))
    }

    /// Puts the server of this process in its place, if this is its place.
    pub(crate) fn fill(&self, guard: &Guard) {
        if let Way::Local(slot) = &self.way {
            slot.get_or_init(|| guard.clone());
        }
    }

    /// What there is only of a replica in another process.
    pub(crate) const fn elsewhere(&self) -> Option<&Remote> {
        match &self.way {
            Way::Local(_) => None,
            Way::Remote(remote) => Some(remote),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.way, Way::Local(slot) if slot.get().is_none())
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.elsewhere().is_none_or(|remote| remote.healthy.load(Ordering::Relaxed))
    }

    /// How many calls to it have no answer yet.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Leave to make a call.
    ///
    /// # Errors
    /// If its breaker is open: after how long to try again.
    pub(crate) fn admit(&self) -> Result<Picked<'_>, Duration> {
        let pass = self.breaker.admit()?;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Ok(Picked { replica: self, pass, _place: Queued(&self.under_way) })
    }
}

impl Remote {
    pub(crate) fn channel(&self) -> Channel {
        let connect = || self.endpoint.connect_with_connector_lazy(self.connector.clone());
        self.channel.get_or_init(connect).clone()
    }

    /// Which of its host's addresses it has; none if it may be any.
    pub(crate) fn at(&self) -> Option<SocketAddr> {
        self.connector.place.at
    }

    /// Notes whether it takes calls, and answers whether that is news.
    pub(crate) fn mark(&self, healthy: bool) -> bool {
        self.shown.set(healthy.into());
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }

    /// Sends those who wait for its answer elsewhere, if they can go there.
    pub(crate) fn hangs(&self) {
        self.hangs.notify_waiters();
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Picked<'_> {
    /// Sends a request, and reports to the breaker how it went. An answer that is a failure is an
    /// error. Who is `hasty` doesn't wait for a replica that hangs.
    pub(crate) async fn send(
        self,
        target: &Target,
        mut request: Request<Body>,
        context: Context,
        (deadline, hasty): (Instant, bool),
    ) -> Result<Response<Body>, Lost> {
        let service = &target.service;
        let answer = match &self.replica.way {
            Way::Local(slot) => {
                let Some(guard) = slot.get().cloned() else {
                    return Err(status(Failure::unavailable("not served yet")).into());
                };
                context.establish(request.extensions_mut());
                timeout_at(deadline, guard.answer(request)).await.map(Ok)
            }
            Way::Remote(remote) => {
                context.write(request.headers_mut(), &target.shared);
                let hung = remote.hangs.notified();
                let exchange = exchange(service, remote.channel(), request, deadline);
                tokio::select! {
                    biased;
                    answer = timeout_at(deadline, exchange) => answer,
                    () = hung, if hasty => {
                        let failure = Failure::unavailable(format_args!("{service} hangs"));
                        Ok(Err(status(failure).into()))
                    }
                }
            }
        };
        let answer = answer.unwrap_or_else(|_| Err(status(too_late()).into())).and_then(settle);
        if matches!(&answer, Err(lost) if lost.unsent) {
            health::unreachable(target, self.replica);
        }
        self.report(answer)
    }

    /// Waits for `answering` of a service in this process, and reports to the breaker how it went.
    pub(crate) async fn ask<R>(
        self,
        deadline: Instant,
        answering: impl Future<Output = Result<R, Status>>,
    ) -> Result<R, Lost> {
        let answer = match timeout_at(deadline, answering).await {
            Ok(Err(ended)) if ended.code() == tonic::Code::Cancelled => Err(status(too_late())),
            Ok(answer) => answer,
            Err(_) => Err(status(too_late())),
        };
        self.report(answer.map_err(Lost::from))
    }

    fn report<T>(self, answer: Result<T, Lost>) -> Result<T, Lost> {
        self.pass.report(matches!(&answer, Err(lost) if is_fault(&lost.status)));
        answer
    }
}

/// A whole exchange over a channel, to the answer's last byte.
async fn exchange(
    service: &str,
    mut channel: Channel,
    request: Request<Body>,
    deadline: Instant,
) -> Result<Response<Body>, Lost> {
    let lost = |error: &(dyn Error + 'static)| lost(service, error, deadline);
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
        return Err(failed.into());
    }
    Ok(Response::from_parts(parts, Body::new(body)))
}

/// Turns an answer that is a failure into an error. A peer's own stack may have run into the
/// deadline before ours, and calls that cancelled.
fn settle(response: Response<Body>) -> Result<Response<Body>, Lost> {
    match code_of(response.headers()) {
        tonic::Code::Ok => Ok(response),
        tonic::Code::Cancelled => Err(status(too_late()).into()),
        _ => match Status::from_header_map(response.headers()) {
            Some(failed) => Err(failed.into()),
            None => Ok(response),
        },
    }
}
