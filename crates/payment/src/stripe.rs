//! The one Stripe client: form-encoded calls with a pinned version, errors sorted by what to do
//! about them, and a record of each call for the transaction log. Whether Stripe or the sandbox
//! answers is a matter of its address.

mod objects;
mod secrets;
mod signature;

use std::time::Duration;

use kernel::{BookingId, Money, PaymentId, Secret};
use platform::http::{Client, Nearby, Unanswered};
use reqwest::{Method, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};
use tokio::time::Instant;

pub(crate) use objects::{EventHead, Intent, List, Refund, subject};
pub(crate) use secrets::without_secrets;
pub(crate) use signature::verify;

/// The provider's name, for us and for clients.
pub(crate) const PROVIDER: &str = "stripe";
/// The API version whose shapes `objects` reads.
const API_VERSION: &str = "2025-09-30.clover";
/// How often a call is made before its failure is passed on.
const ATTEMPTS: u32 = 3;
/// The wait before the second try; doubled for the third.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Says of an answer that it is the one first given under the call's key.
const REPLAYED: &str = "idempotent-replayed";

/// What is kept of an answer that never came.
const NOTHING: &str = "null";

/// Where Stripe is and how to speak to it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Without a slash at the end.
    pub(crate) url: String,
    pub(crate) secret_key: Secret<String>,
    /// How long one try may take.
    pub(crate) timeout: Duration,
}

/// Calls Stripe.
pub(crate) struct Stripe {
    http: Client,
    settings: Settings,
}

/// Why Stripe did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// The card was refused; another may be tried.
    #[error("card declined: {code}")]
    Card { code: String },
    /// No answer, a fault of theirs, or too many calls: it may work later.
    #[error("provider unavailable: {0}")]
    Retryable(String),
    /// A fault of theirs that they remember under the call's key, and will answer for ever.
    #[error("provider remembers a fault under the key: {0}")]
    Spent(String),
    /// The key was used for something else: a fault of ours.
    #[error("idempotency key misused: {0}")]
    Idempotency(String),
    /// Our key is not accepted: nothing works until somebody repairs the configuration.
    #[error("provider refuses our key: {0}")]
    Key(String),
    /// It can't be done, now or ever.
    #[error("provider refused: {code}: {message}")]
    Refused { code: String, message: String },
}

/// One call as the transaction log keeps it, without secrets.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) operation: &'static str,
    /// As JSON.
    pub(crate) request: String,
    /// As JSON.
    pub(crate) response: String,
    /// `ok`, or the kind of error.
    pub(crate) outcome: &'static str,
    pub(crate) duration: Duration,
}

/// A call's result and its record.
pub(crate) struct Called<T> {
    pub(crate) result: Result<T, Error>,
    pub(crate) exchange: Exchange,
}

/// What a payment intent is made for.
pub(crate) struct NewIntent<'a> {
    pub(crate) payment: PaymentId,
    pub(crate) booking: BookingId,
    pub(crate) booking_reference: &'a str,
    pub(crate) amount: Money,
}

/// What a refund is made for.
pub(crate) struct NewRefund<'a> {
    pub(crate) intent: &'a str,
    pub(crate) refund: kernel::RefundId,
    pub(crate) amount_minor: i64,
}

struct Call {
    operation: &'static str,
    method: Method,
    path: String,
    form: Vec<(&'static str, String)>,
    key: Option<String>,
}

impl Error {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Card { .. } => "card_error",
            Self::Retryable(_) => "retryable",
            Self::Spent(_) => "key_spent",
            Self::Idempotency(_) => "idempotency",
            Self::Key(_) => "key",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether the object's state forbids it: look at the object before telling anybody.
    pub(crate) fn is_about_state(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "payment_intent_unexpected_state"
            || code == "charge_already_captured")
    }
}

impl Stripe {
    pub(crate) fn new(settings: Settings, nearby: Nearby) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder();
        if settings.url.starts_with("http://") {
            // A sandbox near by: no proxy on the way, and no certificates to load.
            builder = builder.no_proxy().tls_certs_only(std::iter::empty());
        }
        Ok(Self { http: Client::new(builder, settings.timeout, nearby)?, settings })
    }

    /// Makes a payment intent that is captured by a call of its own. `key` makes a repeat harmless
    /// for 24 hours.
    pub(crate) async fn create_intent(&self, new: &NewIntent<'_>, key: String) -> Called<Intent> {
        let form = vec![
            ("amount", new.amount.minor.to_string()),
            ("currency", new.amount.currency.as_str().to_ascii_lowercase()),
            ("capture_method", "manual".to_owned()),
            ("payment_method_types[]", "card".to_owned()),
            ("description", format!("Booking {}", new.booking_reference)),
            ("metadata[payment_id]", new.payment.to_string()),
            ("metadata[booking_id]", new.booking.to_string()),
            ("metadata[booking_reference]", new.booking_reference.to_owned()),
        ];
        let path = "/v1/payment_intents".to_owned();
        let key = Some(key);
        self.call(Call { operation: "create_intent", method: Method::POST, path, form, key }).await
    }

    pub(crate) async fn retrieve_intent(&self, intent: &str) -> Called<Intent> {
        self.get("retrieve_intent", format!("/v1/payment_intents/{intent}")).await
    }

    /// Takes all that was authorized. A repeat is refused about the state, and has no effect.
    pub(crate) async fn capture_intent(&self, intent: &str) -> Called<Intent> {
        let path = format!("/v1/payment_intents/{intent}/capture");
        self.post("capture_intent", path, Vec::new()).await
    }

    /// Gives up an intent, and with it an authorization. A repeat is refused about the state, and
    /// has no effect.
    pub(crate) async fn cancel_intent(&self, intent: &str) -> Called<Intent> {
        let path = format!("/v1/payment_intents/{intent}/cancel");
        let form = vec![("cancellation_reason", "abandoned".to_owned())];
        self.post("cancel_intent", path, form).await
    }

    /// Gives money back, once for each `key`.
    pub(crate) async fn create_refund(&self, new: &NewRefund<'_>, key: String) -> Called<Refund> {
        let form = vec![
            ("payment_intent", new.intent.to_owned()),
            ("amount", new.amount_minor.to_string()),
            ("reason", "requested_by_customer".to_owned()),
            ("metadata[refund_id]", new.refund.to_string()),
        ];
        let (path, key) = ("/v1/refunds".to_owned(), Some(key));
        self.call(Call { operation: "create_refund", method: Method::POST, path, form, key }).await
    }

    pub(crate) async fn retrieve_refund(&self, refund: &str) -> Called<Refund> {
        self.get("retrieve_refund", format!("/v1/refunds/{refund}")).await
    }

    /// The refunds of an intent, newest first.
    pub(crate) async fn list_refunds(&self, intent: &str) -> Called<List<Refund>> {
        let path = format!("/v1/refunds?payment_intent={intent}&limit=100");
        self.get("list_refunds", path).await
    }

    async fn get<T: DeserializeOwned>(&self, operation: &'static str, path: String) -> Called<T> {
        let (method, form) = (Method::GET, Vec::new());
        self.call(Call { operation, method, path, form, key: None }).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: String,
        form: Vec<(&'static str, String)>,
    ) -> Called<T> {
        self.call(Call { operation, method: Method::POST, path, form, key: None }).await
    }

    /// Makes a call, again where that may help: every call here is harmless to repeat.
    async fn call<T: DeserializeOwned>(&self, call: Call) -> Called<T> {
        let started = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        let (result, response) = loop {
            let (result, response) = self.send::<T>(&call).await;
            if attempt == ATTEMPTS || !matches!(result, Err(Error::Retryable(_))) {
                break (result, response);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            attempt += 1;
        };
        let outcome = result.as_ref().err().map_or("ok", Error::kind);
        let form = call.form.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        let mut request: Map<String, Value> = form.collect();
        request.insert("path".into(), call.path.into());
        if let Some(key) = call.key {
            request.insert("idempotency_key".into(), key.into());
        }
        let exchange = Exchange {
            operation: call.operation,
            request: Value::from(request).to_string(),
            response,
            outcome,
            duration: started.elapsed(),
        };
        Called { result, exchange }
    }

    /// Makes a call once: what it led to, and the answer as it may be kept.
    async fn send<T: DeserializeOwned>(&self, call: &Call) -> (Result<T, Error>, String) {
        let url = format!("{}{}", self.settings.url, call.path);
        let mut request = self
            .http
            .request(call.method.clone(), &url)
            .bearer_auth(self.settings.secret_key.expose())
            .header("stripe-version", API_VERSION);
        if call.method == Method::POST {
            request = request.form(&call.form);
        }
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        let unreachable = |error: Unanswered| Error::Retryable(error.to_string());
        let answer = match self.http.send(request).await {
            Ok(answer) => answer,
            Err(error) => return (Err(unreachable(error)), NOTHING.to_owned()),
        };
        let status = answer.status();
        let replayed = answer.headers().get(REPLAYED).is_some_and(|value| value == "true");
        let body = match answer.bytes().await {
            Ok(body) => body,
            Err(error) => return (Err(unreachable(error.into())), NOTHING.to_owned()),
        };
        let text = str::from_utf8(&body).unwrap_or_default();
        if status.is_success() {
            return match serde_json::from_str(text) {
                Ok(read) => (Ok(read), without_secrets(text)),
                // It may still have taken effect: it is looked at again later.
                Err(error) => {
                    let error = Error::Retryable(format!("unreadable answer: {error}"));
                    (Err(error), readable(text))
                }
            };
        }
        let error = match sort(status, &serde_json::from_str(text).unwrap_or_default()) {
            Error::Retryable(fault) if replayed => Error::Spent(fault),
            error => error,
        };
        (Err(error), readable(text))
    }
}

/// An answer as it may be kept, if it is JSON at all.
fn readable(text: &str) -> String {
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map_or_else(|_| NOTHING.to_owned(), |_| without_secrets(text))
}

/// Sorts an error answer by what to do about it.
fn sort(status: StatusCode, body: &Value) -> Error {
    let error = body.get("error");
    let text = |name: &str| {
        let text = error.and_then(|error| error.get(name)).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let kind = text("type");
    let retryable = status.is_server_error()
        || matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS);
    if retryable {
        return Error::Retryable(format!("status {status}"));
    }
    match (status, kind.as_str()) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Error::Key(text("message")),
        (_, "idempotency_error") => Error::Idempotency(text("message")),
        (_, "card_error") => Error::Card { code: text("code") },
        _ => Error::Refused { code: text("code"), message: text("message") },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_sorted_by_what_to_do_about_them() {
        let body = |kind: &str, code: &str| json!({ "error": { "type": kind, "code": code } });
        let sorted = |status: u16, kind: &str, code: &str| {
            sort(StatusCode::from_u16(status).unwrap(), &body(kind, code))
        };
        assert!(matches!(sorted(402, "card_error", "card_declined"), Error::Card { .. }));
        assert!(matches!(sorted(400, "idempotency_error", ""), Error::Idempotency(_)));
        assert!(matches!(sorted(409, "idempotency_error", ""), Error::Retryable(_)));
        assert!(matches!(sorted(429, "rate_limit_error", ""), Error::Retryable(_)));
        assert!(matches!(sorted(503, "", ""), Error::Retryable(_)));
        assert!(matches!(sorted(401, "invalid_request_error", ""), Error::Key(_)));
        let state = sorted(400, "invalid_request_error", "payment_intent_unexpected_state");
        assert!(state.is_about_state());
        assert!(!sorted(400, "invalid_request_error", "amount_too_small").is_about_state());
    }
}
