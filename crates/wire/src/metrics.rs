//! What is counted about calls. A call costs a few atomic operations here: the series of a method
//! are looked up once and kept by its index.

use std::sync::OnceLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tokio::time::Instant;
use tonic::Code;

use crate::methods::{METHODS, Method};

/// Upper bounds in seconds: from a call inside the process to a lost one.
const BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// By number, as gRPC counts them.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    service: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandledLabels {
    service: &'static str,
    method: &'static str,
    code: &'static str,
}

/// Calls of one side, server or client.
pub(crate) struct Calls {
    handled: Family<HandledLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
    /// Calls that were made again; there are such on the client's side only.
    again: Family<MethodLabels, Counter>,
    /// By the method's index.
    series: Vec<Series>,
}

/// The series of one method, each made when it is first used.
#[derive(Default)]
struct Series {
    handled: [OnceLock<Counter>; CODES.len()],
    seconds: OnceLock<Histogram>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self {
            handled: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            again: Family::default(),
            series: (0..=METHODS.len()).map(|_| Series::default()).collect(),
        }
    }

    /// Adds the series of `side`, `server` or `client`, to `registry`.
    pub(crate) fn register(&self, side: &str, registry: &mut Registry) {
        registry.register(
            format!("grpc_{side}_handled"),
            "Calls that ended, by status code; cancelled are those whose caller left",
            self.handled.clone(),
        );
        registry.register(
            format!("grpc_{side}_handling_seconds"),
            "Time from the start of a call to its end",
            self.seconds.clone(),
        );
    }

    /// Adds the client's count of attempts after the first to `registry`.
    pub(crate) fn register_retries(&self, registry: &mut Registry) {
        let help = "Attempts after the first, at the same replica or another";
        registry.register("grpc_client_retries", help, self.again.clone());
    }

    /// Counts an attempt after the first.
    pub(crate) fn again(&self, method: &'static Method) {
        let labels = MethodLabels { service: method.service, method: method.name };
        self.again.get_or_create_owned(&labels).inc();
    }

    /// Starts to count a call; what is returned counts it when it is dropped.
    pub(crate) fn begin(&self, method: &'static Method) -> UnderWay<'_> {
        UnderWay { calls: self, method, started: Instant::now(), code: Code::Cancelled }
    }

    fn end(&self, method: &'static Method, code: Code, seconds: f64) {
        let Some(series) = self.series.get(method.index) else { return };
        let (service, method) = (method.service, method.name);
        let code = usize::try_from(i32::from(code)).unwrap_or_default();
        if let (Some(handled), Some(code)) = (series.handled.get(code), CODES.get(code)) {
            let labels = || HandledLabels { service, method, code };
            handled.get_or_init(|| self.handled.get_or_create_owned(&labels())).inc();
        }
        let labels = || MethodLabels { service, method };
        let histogram = series.seconds.get_or_init(|| self.seconds.get_or_create_owned(&labels()));
        histogram.observe(seconds);
    }
}

/// A call that has not ended.
pub(crate) struct UnderWay<'a> {
    calls: &'a Calls,
    method: &'static Method,
    started: Instant,
    /// Cancelled until something else is known, so that a dropped call counts as such.
    code: Code,
}

impl UnderWay<'_> {
    /// When it began.
    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    /// Ends the call with `code`.
    pub(crate) fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.calls.end(self.method, self.code, self.started.elapsed().as_secs_f64());
    }
}
