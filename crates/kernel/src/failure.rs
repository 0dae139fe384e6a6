//! How things fail: a small closed set of codes, a machine-readable reason, and words for people.

use std::{borrow::Cow, collections::BTreeMap, fmt};

/// What kind of failure it is. Each maps to one gRPC status and one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request can't be right, whatever the state is. HTTP 400, or 422 with field errors.
    Invalid,
    /// Who asks is not known. HTTP 401.
    Unauthenticated,
    /// Who asks may not. HTTP 403.
    Forbidden,
    /// What is asked for does not exist, or is not the caller's to see. HTTP 404.
    NotFound,
    /// The request meets a state that refuses it: seat taken, sold out, wrong status. HTTP 409.
    Conflict,
    /// An edit was made against an older version. HTTP 412.
    Stale,
    /// Too much was asked for: rate limit, full queue. HTTP 429.
    Exhausted,
    /// A part is down or overloaded; the same request may succeed later. HTTP 503.
    Unavailable,
    /// There was no answer in time. HTTP 504.
    Deadline,
    /// A fault of ours. HTTP 500; its text never leaves the service.
    Internal,
}

/// One field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `seats[2]`.
    pub field: String,
    /// What is wrong with it, for people.
    pub detail: String,
}

/// A refusal or fault as it crosses a border between services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub code: Code,
    /// What exactly, for machines, in SCREAMING_SNAKE_CASE: `SEAT_TAKEN`.
    pub reason: Cow<'static, str>,
    /// What happened, for people: lower case, no full stop.
    pub detail: String,
    /// Fields that are wrong, with [`Code::Invalid`].
    pub fields: Vec<FieldError>,
    /// Facts that help the caller go on, such as what is still free.
    pub metadata: BTreeMap<String, String>,
    /// After how long trying again makes sense, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// When one may try again who met an overload, in milliseconds, unless it says so itself.
const OVERLOAD_PAUSE_MS: u64 = 100;

impl Failure {
    /// A failure of kind `code`.
    #[must_use]
    pub fn new(code: Code, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
            detail: detail.into(),
            fields: Vec::new(),
            metadata: BTreeMap::new(),
            retry_after_ms: None,
        }
    }

    /// A request that can't be right, with the one field that is wrong.
    #[must_use]
    pub fn invalid(field: impl Into<String>, detail: impl fmt::Display) -> Self {
        let field = field.into();
        let mut failure =
            Self::new(Code::Invalid, "INVALID_ARGUMENT", format!("{field}: {detail}"));
        failure.fields.push(FieldError { field, detail: detail.to_string() });
        failure
    }

    /// Something that does not exist, or is not the caller's to see.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, "NOT_FOUND", format!("{what} not found"))
    }

    /// A caller who may not do this.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, "FORBIDDEN", detail)
    }

    /// A fault of ours. `detail` is for the log; callers are told only that it is our fault.
    #[must_use]
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self::new(Code::Internal, "INTERNAL", detail.to_string())
    }

    /// A part that is down or overloaded.
    #[must_use]
    pub fn unavailable(detail: impl fmt::Display) -> Self {
        Self::new(Code::Unavailable, "UNAVAILABLE", detail.to_string())
    }

    /// More is asked for than can be done: the part is well, the same request may succeed later.
    #[must_use]
    pub fn overloaded(detail: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, "OVERLOADED", detail).retry_after(OVERLOAD_PAUSE_MS)
    }

    /// The same failure with a fact that helps the caller go on.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// The same failure with the time after which trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Failure {}
