//! What is counted. Labels come from closed sets: neither a client nor a service can make them up.

use platform::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// Types that are counted by name; all others are one.
const KINDS: [&str; 27] = [
    "booking:admitted",
    "booking:cancelled",
    "booking:confirmed",
    "booking:expired",
    "booking:failed",
    "booking:payment_failed",
    "booking:payment_pending",
    "booking:processing",
    "booking:queue_position",
    "booking:refunded",
    "booking:seats_reserved",
    "payment:cancelled",
    "payment:failed",
    "payment:processing",
    "payment:refunded",
    "payment:success",
    "room:join",
    "room:leave",
    "room:refetch",
    "system:ping",
    "system:pong",
    "ticket:availability",
    "ticket:released",
    "ticket:reserved",
    "ticket:sold",
    "ticket:used",
    "user:subscribe",
];

pub(crate) struct Meters {
    pub connections: Gauge,
    pub authenticated: Gauge,
    pub anonymous: Gauge,
    pub rooms: Gauge,
    pub slow_clients: Counter,
    pub published: Counter,
    pub arrived: Counter,
    /// Messages handed to connections, and taken from them, of all types.
    pub sent: Counter,
    pub received: Counter,
    sent_by_kind: Family<KindLabels, Counter>,
    received_by_kind: Family<KindLabels, Counter>,
    broadcasts: Family<RoomLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoomLabels {
    room: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    code: &'static str,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let gauge = |name: &str, help: &str| metrics.register(name, help, Gauge::default());
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        let sent = "messages handed to connections";
        let received = "messages that clients sent";
        let broadcasts = "messages to rooms, by kind of room";
        let errors = "refusals that clients were told";
        Self {
            connections: gauge("realtime_websocket_connections", "open connections"),
            authenticated: gauge("realtime_websocket_authenticated", "those with an account"),
            anonymous: gauge("realtime_websocket_anonymous", "those without"),
            rooms: gauge("realtime_rooms", "rooms, also remembered ones"),
            slow_clients: counter("realtime_slow_clients", "connections closed for being slow"),
            published: counter("realtime_pubsub_messages_published", "messages to all replicas"),
            arrived: counter("realtime_pubsub_messages_received", "messages from all replicas"),
            sent: Counter::default(),
            received: Counter::default(),
            sent_by_kind: metrics.register("realtime_messages_sent", sent, Family::default()),
            received_by_kind: metrics.register(
                "realtime_messages_received",
                received,
                Family::default(),
            ),
            broadcasts: metrics.register(
                "realtime_message_broadcast",
                broadcasts,
                Family::default(),
            ),
            errors: metrics.register("realtime_errors", errors, Family::default()),
        }
    }

    /// A message of type `kind` was handed to `reached` connections in a room of kind `room`.
    pub(crate) fn broadcast(&self, room: &'static str, kind: &str, reached: u64) {
        self.broadcasts.get_or_create(&RoomLabels { room }).inc();
        self.sent.inc_by(reached);
        self.sent_by_kind.get_or_create(&label(kind)).inc_by(reached);
    }

    /// A client sent a message of type `kind`.
    pub(crate) fn received(&self, kind: &str) {
        self.received.inc();
        self.received_by_kind.get_or_create(&label(kind)).inc();
    }

    /// A client was told `code`.
    pub(crate) fn refused(&self, code: &'static str) {
        self.errors.get_or_create(&ErrorLabels { code }).inc();
    }
}

fn label(kind: &str) -> KindLabels {
    let known = KINDS.binary_search(&kind).ok().and_then(|at| KINDS.get(at));
    KindLabels { r#type: known.copied().unwrap_or("other") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_type_makes_no_series_of_its_own() {
        assert!(KINDS.is_sorted());
        assert_eq!(label("ticket:sold").r#type, "ticket:sold");
        assert_eq!(label("made:up").r#type, "other");
        assert_eq!(label("").r#type, "other");
    }
}
