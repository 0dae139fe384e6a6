//! What travels with a call: who asks, signed; the correlation id; the trace; the deadline.

use std::{sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use kernel::{Caller, Failure};
use tokio::time::Instant;

use crate::mesh::Shared;

const CALLER: HeaderName = HeaderName::from_static("x-boxoffice-caller");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

const MAX_CORRELATION_ID: usize = 128;
/// `00-<32 hex>-<16 hex>-<2 hex>`.
const TRACEPARENT_LENGTH: usize = 55;
/// The longest that a client of the socket may keep a call waiting.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// What travels with a call. A handler reads it off its request and hands it on with the calls that
/// it makes.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who asks, as verified by the receiving server.
    pub caller: Caller,
    /// Ties log lines of all services to one request of a client. Where it is empty, each call gets
    /// one of its own.
    pub correlation_id: Arc<str>,
    /// W3C trace context, if the client sent one.
    pub traceparent: Option<Arc<str>>,
    /// When an answer is of no use any more.
    pub deadline: Option<Instant>,
}

/// A context that is known to be true: put on a request by this process only, for no peer can send
/// an extension.
#[derive(Clone)]
pub(crate) struct Established(Context);

impl Context {
    /// The context of a request that has passed the server stack; anonymous if it has not.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        let established = request.extensions().get::<Established>();
        established.map_or_else(|| Self::new(Caller::Anonymous, ""), |Established(it)| it.clone())
    }

    /// The context of work that service `name` does for itself, each call with a correlation id of
    /// its own.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self::new(Caller::Service(name.to_owned()), "")
    }

    /// A context with this caller and correlation id, and no deadline. An id that is not 1 to 128
    /// printable ASCII characters is dropped, and each call gets one of its own.
    #[must_use]
    pub fn new(caller: Caller, correlation_id: &str) -> Self {
        let sane = Some(correlation_id).filter(|id| is_sane(id, MAX_CORRELATION_ID));
        let correlation_id = Arc::from(sane.unwrap_or_default());
        Self { caller, correlation_id, traceparent: None, deadline: None }
    }

    /// The same context with another caller.
    #[must_use]
    pub fn acting_as(&self, caller: Caller) -> Self {
        Self { caller, ..self.clone() }
    }

    /// The same context with a deadline no later than `deadline`.
    #[must_use]
    pub fn within(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |own| own.min(deadline)));
        self
    }

    /// The same context with this W3C `traceparent`, unless it is malformed.
    #[must_use]
    pub fn traced(mut self, traceparent: &str) -> Self {
        let sane = traceparent.len() == TRACEPARENT_LENGTH
            && traceparent.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        self.traceparent = sane.then(|| Arc::from(traceparent));
        self
    }

    /// Reads what a peer sent.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it claims to be somebody and can't prove it.
    pub(crate) fn read(headers: &HeaderMap, shared: &Shared) -> Result<Self, Failure> {
        let caller = match headers.get(CALLER) {
            Some(header) => shared.signer.verify(header)?,
            None => Caller::Anonymous,
        };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let mut context = Self::new(caller, text(CORRELATION_ID).unwrap_or_default());
        if context.correlation_id.is_empty() {
            context.correlation_id = shared.correlation_id();
        }
        let timeout = timeout(headers).unwrap_or(shared.deadline).min(MAX_DEADLINE);
        let context = context.within(Instant::now() + timeout);
        Ok(match text(TRACEPARENT) {
            Some(traceparent) => context.traced(traceparent),
            None => context,
        })
    }

    /// Writes what a peer is to know.
    pub(crate) fn write(&self, headers: &mut HeaderMap, shared: &Shared) {
        let mut set = |name, value: Option<HeaderValue>| match value {
            Some(value) => headers.insert(name, value),
            None => headers.remove(name),
        };
        let text = |text: &str| HeaderValue::from_str(text).ok();
        set(CALLER, shared.signer.sign(&self.caller));
        set(CORRELATION_ID, text(&self.correlation_id));
        set(TRACEPARENT, self.traceparent.as_deref().and_then(text));
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        set(GRPC_TIMEOUT, left.and_then(|left| text(&timeout_text(left))));
    }

    /// Puts the context, taken as true, on a request.
    pub(crate) fn establish(self, extensions: &mut Extensions) {
        extensions.insert(Established(self));
    }

    /// The context that was put on a request.
    pub(crate) fn established(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Established>().map(|Established(context)| context)
    }
}

fn is_sane(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// How long the sender of `headers` waits, if it says so: at most eight digits and a unit.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount = digits.parse::<u32>().ok().filter(|_| digits.len() <= 8)?.into();
    match unit {
        "H" => Some(Duration::from_secs(amount * 3_600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn timeout_text(left: Duration) -> String {
    const LARGEST: u128 = 99_999_999;
    match left.as_micros() {
        micros @ 0..=LARGEST => format!("{micros}u"),
        _ => format!("{}m", left.as_millis().min(LARGEST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_it_is_written() {
        let read = |text: &str| {
            let value = HeaderValue::from_str(text).unwrap();
            timeout(&HeaderMap::from_iter([(GRPC_TIMEOUT, value)]))
        };
        for millis in [0, 1, 99_999, 100_000, 99_999_999] {
            let left = Duration::from_millis(millis);
            assert_eq!(read(&timeout_text(left)), Some(left));
        }
        assert_eq!(read("2H"), Some(Duration::from_secs(7_200)));
        for text in ["", "1", "S", "-1S", "123456789n", "1s"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_can_t_be_a_correlation_id_is_dropped() {
        let kept = |id: &str| !Context::new(Caller::Anonymous, id).correlation_id.is_empty();
        assert!(kept("req-1") && kept(&"x".repeat(128)));
        for id in ["", "two words", "ü", "a\r\nb", &"x".repeat(129)] {
            assert!(!kept(id), "{id:?}");
        }
        let traced = |text: &str| Context::service("user").traced(text).traceparent.is_some();
        assert!(traced("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(!traced("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n"));
    }
}
