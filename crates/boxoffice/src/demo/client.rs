//! A client of the public REST interface that expects answers.

use std::time::Duration;

use kernel::Secret;
use serde_json::Value;
use tokio::time::Instant;

/// An answer that was not the expected one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Surprise(pub String);

impl Surprise {
    /// A surprise in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// How long the demo waits for something that happens by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// The longest that the demo waits when it is asked to come back later, and how often it does.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSES: u32 = 300;

/// One person at one gateway: anonymous, or signed in.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Secret<String>>,
}

/// A request that waits for its answer.
pub struct Asked {
    what: String,
    request: reqwest::RequestBuilder,
}

impl Client {
    /// Nobody in particular, at the gateway `base` (`http://host:port`).
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { http: reqwest::Client::new(), base: base.to_owned(), token: None }
    }

    /// The same connection pool, signed in with an access token.
    #[must_use]
    pub fn signed_in(&self, token: &str) -> Self {
        Self { token: Some(Secret::new(token.to_owned())), ..self.clone() }
    }

    /// The access token, if signed in.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_ref().map_or("", |token| token.expose())
    }

    fn ask(&self, method: reqwest::Method, path: &str) -> Asked {
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        Asked { what, request }
    }

    /// `GET`.
    #[must_use]
    pub fn get(&self, path: &str) -> Asked {
        self.ask(reqwest::Method::GET, path)
    }

    /// `POST` with a JSON body.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Asked {
        let asked = self.ask(reqwest::Method::POST, path);
        Asked { request: asked.request.json(body), ..asked }
    }

    /// `POST` with a JSON body and an idempotency key.
    #[must_use]
    pub fn post_once(&self, path: &str, key: &str, body: &Value) -> Asked {
        let asked = self.post(path, body);
        Asked { request: asked.request.header("Idempotency-Key", key), ..asked }
    }

    /// `POST` of a form to an absolute address, as the payment provider takes it.
    #[must_use]
    pub fn post_form(&self, address: &str, form: &[(&str, &str)]) -> Asked {
        Asked { what: format!("POST {address}"), request: self.http.post(address).form(form) }
    }

    /// Asks for `path` until `done` says so.
    ///
    /// # Errors
    /// If it is not done in time; the surprise tells the last answer.
    pub async fn wait_for(
        &self,
        path: &str,
        what: &str,
        done: impl Fn(&Value) -> bool,
    ) -> Result<Value, Surprise> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).expect(200).await?;
            if done(&answer) {
                return Ok(answer);
            }
            if Instant::now() > give_up {
                return Err(Surprise(format!("{what}: still not so at GET {path}: {answer}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Asked {
    /// The status and the JSON body of the answer (null if there is none).
    ///
    /// # Errors
    /// If there is no answer, or its body is no JSON.
    pub async fn answer(self) -> Result<(u16, Value), Surprise> {
        let lost = |error: reqwest::Error| Surprise(format!("{}: {error}", self.what));
        let mut again = self.request.try_clone();
        let mut response = self.request.send().await.map_err(lost)?;
        for _ in 0..MAX_PAUSES {
            let (Some(pause), Some(request)) = (pause(&response), again) else { break };
            tokio::time::sleep(pause).await;
            again = request.try_clone();
            response = request.send().await.map_err(lost)?;
        }
        let status = response.status().as_u16();
        let text = response.text().await.map_err(lost)?;
        if text.is_empty() {
            return Ok((status, Value::Null));
        }
        let body = serde_json::from_str(&text)
            .map_err(|error| Surprise(format!("{}: {status}, no JSON: {error}", self.what)))?;
        Ok((status, body))
    }

    /// The JSON body of an answer with `status`.
    ///
    /// # Errors
    /// If the answer has another status.
    pub async fn expect(self, status: u16) -> Result<Value, Surprise> {
        let what = self.what.clone();
        match self.answer().await? {
            (got, body) if got == status => Ok(body),
            (got, body) => Err(Surprise(format!("{what}: expected {status}, got {got}: {body}"))),
        }
    }

    /// A refusal with `status` and the problem's `code`.
    ///
    /// # Errors
    /// If the answer is another.
    pub async fn refused(self, status: u16, code: &str) -> Result<Value, Surprise> {
        let what = self.what.clone();
        let problem = self.expect(status).await?;
        if text(&problem, "code")? == code {
            return Ok(problem);
        }
        Err(Surprise(format!("{what}: expected the problem {code}, got {problem}")))
    }
}

/// How long to wait before asking again, if the answer says so and it is not long.
fn pause(response: &reqwest::Response) -> Option<Duration> {
    if response.status() != reqwest::StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    let pause = Duration::from_secs(seconds.parse().ok()?);
    (pause <= LONGEST_PAUSE).then_some(pause)
}

/// The text at `key`.
///
/// # Errors
/// If there is none.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str, Surprise> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| missing(value, key))
}

/// The whole number at `key`.
///
/// # Errors
/// If there is none.
pub(super) fn number(value: &Value, key: &str) -> Result<i64, Surprise> {
    value.get(key).and_then(Value::as_i64).ok_or_else(|| missing(value, key))
}

/// The list at `key`.
///
/// # Errors
/// If there is none.
pub(super) fn list<'v>(value: &'v Value, key: &str) -> Result<&'v Vec<Value>, Surprise> {
    value.get(key).and_then(Value::as_array).ok_or_else(|| missing(value, key))
}

fn missing(value: &Value, key: &str) -> Surprise {
    Surprise(format!("expected {key:?} in {value}"))
}

/// Refuses to go on unless `holds`.
///
/// # Errors
/// `what`, if it doesn't hold.
pub(super) fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), Surprise> {
    if holds { Ok(()) } else { Err(Surprise(what())) }
}
