//! Stripe's error objects, with the HTTP status each comes with.

use serde_json::{Map, Value, json};

/// An answer other than 200.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    message: String,
    extra: Map<String, Value>,
    /// Whether the request began to run, so that its idempotency key stands for this answer.
    pub(crate) began: bool,
}

/// Why an operation did not answer 200.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Stripe would answer so.
    #[error("{}", .0.message)]
    Api(Box<ApiError>),
    /// The sandbox itself failed.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl ApiError {
    /// An `invalid_request_error`.
    pub(crate) fn invalid(status: u16, code: Option<&'static str>, message: String) -> Self {
        let kind = "invalid_request_error";
        Self { status, kind, code, message, extra: Map::new(), began: false }
    }

    /// A parameter that is wrong.
    pub(crate) fn parameter(code: &'static str, name: &str, message: String) -> Self {
        Self::invalid(400, Some(code), message).with("param", name)
    }

    /// A parameter that is not there.
    pub(crate) fn missing(name: &str) -> Self {
        Self::parameter("parameter_missing", name, format!("Missing required param: {name}."))
    }

    /// An object that does not exist.
    pub(crate) fn no_such(kind: &str, name: &str, id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        let text = format!("No such {kind}: '{id}'");
        Self::invalid(404, Some("resource_missing"), text).with("param", name)
    }

    /// A transition that the object's status does not allow.
    pub(crate) fn unexpected_state(message: String) -> Self {
        Self { began: true, ..Self::invalid(400, Some("payment_intent_unexpected_state"), message) }
    }

    /// A refusal that the request met while it ran.
    pub(crate) fn refused(code: &'static str, message: String) -> Self {
        Self { began: true, ..Self::invalid(400, Some(code), message) }
    }

    /// The card was refused; `error` is what `last_payment_error` holds too.
    pub(crate) fn card(error: &Value) -> Self {
        Self {
            status: 402,
            kind: "card_error",
            code: None,
            message: String::new(),
            extra: error.as_object().cloned().unwrap_or_default(),
            began: true,
        }
    }

    /// An idempotency key that stands for something else.
    pub(crate) fn idempotency(status: u16, message: &str) -> Self {
        let code = if status == 409 { Some("idempotency_key_in_use") } else { None };
        let kind = "idempotency_error";
        let message = message.to_owned();
        Self { status, kind, code, message, extra: Map::new(), began: false }
    }

    /// A fault of Stripe's own.
    pub(crate) fn api(message: &str) -> Self {
        Self {
            status: 500,
            kind: "api_error",
            code: None,
            message: message.to_owned(),
            extra: Map::new(),
            began: false,
        }
    }

    /// The same error with one more field.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Value {
        let mut error = Map::new();
        error.insert("type".into(), self.kind.into());
        if let Some(code) = self.code {
            error.insert("code".into(), code.into());
            let page = format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"));
            error.insert("doc_url".into(), page.into());
        }
        if !self.message.is_empty() {
            error.insert("message".into(), self.message.clone().into());
        }
        error.extend(self.extra.clone());
        json!({ "error": error })
    }
}
