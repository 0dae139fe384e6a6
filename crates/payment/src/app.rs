//! The handles that every verb gets.

use std::{sync::Arc, time::Duration};

use db::{Coalescer, Db};
use kernel::{Caller, Clock, Code, Failure, PaymentId, Secret, Timestamp};
use platform::{Tasks, tokens::Verifier};
use tracing::error;

use crate::{
    domain::{Change, Payment},
    ledger::Desk,
    metrics::Metrics,
    ops::{Decided, Request},
    store::Entry,
    stripe::{self, Called, Exchange, Stripe},
};

/// What verbs work with.
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) desk: Desk,
    /// Decides what happens to payments, together where it comes together.
    pub(crate) writes: Coalescer<Request, Decided, Failure>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) access: Verifier,
    pub(crate) stripe: Stripe,
    pub(crate) webhook_secret: Secret<String>,
    pub(crate) metrics: Metrics,
    /// How long the logs of what was said with the provider are kept.
    pub(crate) keep_log: Duration,
}

/// How long to wait before looking after something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) lease: Duration,
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) batch: i64,
}

impl Patience {
    /// When to look again after `attempts` looks in vain.
    pub(crate) fn next(&self, now: Timestamp, attempts: i64) -> Timestamp {
        let doublings = u32::try_from(attempts.clamp(0, 20)).unwrap_or(0);
        now.plus(self.first.saturating_mul(1 << doublings).min(self.longest))
    }
}

impl App {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Has `request` decided together with those that it meets.
    ///
    /// # Errors
    /// What was decided, or why it could not be written.
    pub(crate) async fn write(&self, request: Request) -> Result<Decided, Failure> {
        let decided = self.writes.call(request).await?;
        self.announce(decided.change.as_ref());
        Ok(decided)
    }

    /// What follows once a change is durable.
    pub(crate) fn announce(&self, change: Option<&Change>) {
        if let Some(change) = change {
            self.metrics.transition(change.to);
            self.desk.outbox.wake();
        }
    }

    /// Whether a lease taken at `taken_at` may not outlast a call any more: what it is for is left
    /// to whoever takes it next.
    pub(crate) fn is_late(&self, taken_at: Timestamp) -> bool {
        self.now() > taken_at.plus(self.desk.patience.lease / 2)
    }

    /// A call's result, and its entry for the transaction log.
    pub(crate) fn heard<T>(
        &self,
        payment: PaymentId,
        correlation_id: &str,
        called: Called<T>,
    ) -> (Result<T, stripe::Error>, Entry) {
        let Called { result, exchange } = called;
        self.metrics.provider_call(&exchange);
        if let Err(stripe::Error::Key(_) | stripe::Error::Idempotency(_)) = &result {
            let Exchange { operation, response, .. } = &exchange;
            error!(operation, %response, %payment, "provider call needs an operator");
        }
        let at = self.now();
        let id = self.desk.ids.uuid(at);
        let correlation_id = correlation_id.to_owned();
        (result, Entry { id, payment, exchange, correlation_id, at })
    }
}

/// Only booking-service and people who run the platform move money.
pub(crate) fn may_move_money(caller: &Caller) -> Result<(), Failure> {
    let admin = matches!(caller, Caller::Account { role: kernel::Role::Admin, .. });
    match caller {
        _ if caller.is_service("booking") || admin => Ok(()),
        Caller::Anonymous => {
            Err(Failure::new(Code::Unauthenticated, "UNAUTHENTICATED", "sign in first"))
        }
        _ => Err(Failure::forbidden("payments are made and changed by bookings")),
    }
}

/// With what `caller` may pay: only the buyer and booking-service get it, and only while there is
/// something to pay.
pub(crate) fn payable_with<'a>(payment: &'a Payment, caller: &Caller) -> Option<&'a String> {
    let buyer = matches!(caller, Caller::Account { id, .. } if *id == payment.account);
    let payable = payment.state.is_open() && (buyer || caller.is_service("booking"));
    payment.client_secret.as_ref().filter(|_| payable).map(Secret::expose)
}

/// A provider that did not answer, as a caller is told.
pub(crate) fn provider_failure(error: &stripe::Error) -> Failure {
    match error {
        stripe::Error::Refused { code, message } => {
            let text = format!("the payment provider refused: {message}");
            Failure::new(Code::Conflict, "PAYMENT_REFUSED", text).with("provider_code", code)
        }
        stripe::Error::Card { code } => {
            Failure::new(Code::Conflict, "PAYMENT_DECLINED", "the card was declined")
                .with("decline_code", code)
        }
        _ => {
            Failure::new(Code::Unavailable, "PROVIDER_UNAVAILABLE", "the payment provider is away")
                .retry_after(1_000)
        }
    }
}
