//! What this service counts.

use kernel::Failure;
use platform::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
};

use crate::{
    Error,
    change::Change,
    domain::{Input, Status, Step},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StepStatus {
    step: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FromTo {
    from: &'static str,
    to: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    status: &'static str,
}

type SagaDurations = Family<Outcome, Histogram, fn() -> Histogram>;

/// The service's metrics, made once in `build`.
#[derive(Clone)]
pub(crate) struct Counts {
    created: Counter,
    confirmed: Counter,
    cancelled: Family<Reason, Counter>,
    failed: Family<Reason, Counter>,
    refused: Family<Reason, Counter>,
    expired: Counter,
    payments_captured: Counter,
    payments_declined: Counter,
    steps: Family<StepStatus, Counter>,
    compensations: Family<StepStatus, Counter>,
    dead_letters: Family<StepStatus, Counter>,
    transitions: Family<FromTo, Counter>,
    invalid_transitions: Counter,
    durations: SagaDurations,
}

impl Counts {
    /// Registers all of them.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let durations: SagaDurations =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16)));
        let counter = |name, help| metrics.register(name, help, Counter::default());
        let reasons = |name, help| metrics.register(name, help, Family::default());
        let steps = |name, help| metrics.register(name, help, Family::default());
        Self {
            created: counter("booking_created", "Bookings opened"),
            confirmed: counter("booking_confirmed", "Bookings confirmed"),
            cancelled: reasons("booking_cancelled", "Bookings cancelled, by who did it"),
            failed: reasons("booking_failed", "Bookings that could not be done, by reason"),
            refused: reasons(
                "booking_refused",
                "Wishes refused without a booking, as the same was moments ago, by reason",
            ),
            expired: counter("booking_expired", "Bookings not paid in time"),
            payments_captured: counter("booking_payment_captured", "Payments taken"),
            payments_declined: counter("booking_payment_failed", "Tries to pay that were declined"),
            steps: steps("booking_saga_step", "Steps of the saga, by how they ended"),
            compensations: steps("booking_saga_compensation", "Undoings, by how they ended"),
            dead_letters: steps("booking_dead_letters", "Undoings given to an operator"),
            transitions: metrics.register(
                "booking_state_transitions",
                "Steps of the state machine",
                Family::default(),
            ),
            invalid_transitions: counter(
                "booking_state_invalid_transitions",
                "Inputs that the state machine refused",
            ),
            durations: metrics.register(
                "booking_saga_duration_seconds",
                "How long one run of a booking's saga took, by the status it reached",
                durations,
            ),
        }
    }

    /// A change that was committed.
    pub(crate) fn committed(&self, change: &Change) {
        for step in &change.transitions {
            let (from, to) = (step.from.as_str(), step.to.as_str());
            self.transitions.get_or_create(&FromTo { from, to }).inc();
            match step.input {
                Input::ReserveSeats => _ = self.created.inc(),
                Input::PaymentCaptured => _ = self.payments_captured.inc(),
                Input::PaymentDeclined => _ = self.payments_declined.inc(),
                Input::Confirm => _ = self.confirmed.inc(),
                Input::Expire => _ = self.expired.inc(),
                Input::Fail => _ = self.failed.get_or_create(&reason(&step.reason)).inc(),
                Input::Cancel => _ = self.cancelled.get_or_create(&reason(&step.reason)).inc(),
                _ => {}
            }
        }
        for letter in &change.dead_letters {
            let label = StepStatus { step: letter.step.as_str(), status: "dead" };
            self.dead_letters.get_or_create(&label).inc();
        }
    }

    /// A wish that was refused without a booking.
    pub(crate) fn refused_again(&self, refusal: &Failure) {
        self.refused.get_or_create(&reason(&refusal.reason)).inc();
    }

    /// A refusal, if it is one of the state machine.
    pub(crate) fn refused(&self, error: &Error) {
        if matches!(error, Error::Transition(_)) {
            self.invalid_transitions.inc();
        }
    }

    /// A step of the saga that ended as `status`: `done`, `later` or `refused`.
    pub(crate) fn step(&self, step: Step, status: &'static str) {
        self.steps.get_or_create(&StepStatus { step: step.as_str(), status }).inc();
    }

    /// An undoing that ended as `status`.
    pub(crate) fn undone(&self, step: Step, status: &'static str) {
        self.compensations.get_or_create(&StepStatus { step: step.as_str(), status }).inc();
    }

    /// A run of the saga that took `seconds` and left the booking in `status`.
    pub(crate) fn ran(&self, status: Status, seconds: f64) {
        self.durations.get_or_create(&Outcome { status: status.as_str() }).observe(seconds);
    }
}

/// A label from a closed set: words that people write are counted as `OTHER`.
fn reason(text: &str) -> Reason {
    const KNOWN: [&str; 18] = [
        "BY_BUYER",
        "BY_ORGANIZER",
        "BY_OPERATOR",
        "PAYMENT_CANCELLED",
        "PAYMENT_FAILED",
        "HOLD_LOST",
        "SEAT_TAKEN",
        "SOLD_OUT",
        "SALE_CLOSED",
        "ADMISSION_REQUIRED",
        "TOO_MANY_PLACES",
        "NOT_FOUND",
        "INVALID_ARGUMENT",
        "NOT_AVAILABLE",
        "NO_SUCH_SEAT",
        "UNAVAILABLE",
        "INTERNAL",
        "FORBIDDEN",
    ];
    let known = KNOWN.iter().find(|known| **known == text);
    Reason { reason: known.map_or("OTHER", |known| known).to_owned() }
}
