//! HTTP/1.1 for many requests from one process: connections are kept and shared, nothing is
//! followed, nothing is unpacked.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use platform::Tasks;
use tokio::{net::TcpStream, time::timeout};

use crate::spawn;

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long one waits for an answer before it counts as lost.
const ANSWER_TIME: Duration = Duration::from_secs(20);
const MAX_BODY_BYTES: usize = 16 * 1_024 * 1_024;
const MAX_IDLE: usize = 4_096;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type Connection = SendRequest<Full<Bytes>>;

/// One server.
pub struct Http {
    address: SocketAddr,
    host: HeaderValue,
    idle: Mutex<Vec<Connection>>,
    tasks: Tasks,
    opened: AtomicU64,
}

/// A request to be made, any number of times.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub(crate) String);

fn lost(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Lost {
    move |error| Lost(format!("{what}: {error}"))
}

impl Http {
    /// The server at `base`, which is `http://host:port`.
    ///
    /// # Errors
    /// If it is no such address, or names nobody.
    pub async fn new(base: &str, tasks: Tasks) -> Result<Self, Lost> {
        let wrong = |detail: &str| Lost(format!("{base:?} {detail}"));
        let uri: Uri = base.parse().map_err(|_| wrong("is no address"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("is no address such as http://127.0.0.1:3000"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?.clone();
        let name = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
        let mut found =
            tokio::net::lookup_host(name).await.map_err(|error| wrong(&error.to_string()))?;
        let address = found.next().ok_or_else(|| wrong("is the address of nobody"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("is no host"))?;
        let (idle, opened) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { address, host, idle, tasks, opened })
    }

    /// How many connections were opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// Makes a request once; a kept connection that turns out to be closed was never asked.
    ///
    /// # Errors
    /// If no whole answer came in time: nobody knows what became of the request.
    pub async fn ask(&self, call: &Call) -> Result<Answer, Lost> {
        timeout(ANSWER_TIME, self.exchange(call)).await.map_err(|_| Lost("no answer".into()))?
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, Lost> {
        let mut request = self.request(call);
        let (mut connection, response) = loop {
            let (mut connection, kept) = match self.take() {
                Some(connection) => (connection, true),
                None => (self.open().await?, false),
            };
            match connection.try_send_request(request).await {
                Ok(response) => break (connection, response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if kept => request = unsent,
                    _ => return Err(lost("sending")(&error.into_error())),
                },
            }
        };
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
        let body = body.map_err(|error| lost("reading")(&error))?.to_bytes();
        // It is ready for the next request once the body is read, or will never be.
        if connection.ready().await.is_ok() {
            self.give_back(connection);
        }
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn request(&self, call: &Call) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.uri.clone();
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(header::HOST, self.host.clone());
        request
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    async fn open(&self) -> Result<Connection, Lost> {
        let connecting = timeout(CONNECT_TIME, TcpStream::connect(self.address)).await;
        let connected = connecting.map_err(|_| Lost("connecting: took too long".into()))?;
        let stream = connected.map_err(|error| lost("connecting")(&error))?;
        stream.set_nodelay(true).map_err(|error| lost("connecting")(&error))?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| lost("connecting")(&error))?;
        self.opened.fetch_add(1, Relaxed);
        spawn(&self.tasks, "connection", async move {
            // Whoever asked over it was told how it ended.
            let _ended = connection.await;
        });
        Ok(sender)
    }
}

impl Call {
    fn new(method: Method, path: &str, body: Bytes) -> Result<Self, Lost> {
        let uri = path.parse().map_err(|error| lost(path)(&error))?;
        Ok(Self { method, uri, headers: HeaderMap::new(), body })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// If the path is none.
    pub fn get(path: &str) -> Result<Self, Lost> {
        Self::new(Method::GET, path, Bytes::new())
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// If the path is none.
    pub fn delete(path: &str) -> Result<Self, Lost> {
        Self::new(Method::DELETE, path, Bytes::new())
    }

    /// `POST path` with JSON.
    ///
    /// # Errors
    /// If the path is none.
    pub fn post(path: &str, json: impl Into<Bytes>) -> Result<Self, Lost> {
        Ok(Self::new(Method::POST, path, json.into())?.with(header::CONTENT_TYPE, JSON))
    }

    /// `PATCH path` with JSON.
    ///
    /// # Errors
    /// If the path is none.
    pub fn patch(path: &str, json: impl Into<Bytes>) -> Result<Self, Lost> {
        Ok(Self::new(Method::PATCH, path, json.into())?.with(header::CONTENT_TYPE, JSON))
    }

    /// `POST path` with a form.
    ///
    /// # Errors
    /// If the path is none.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Result<Self, Lost> {
        let body = fields
            .iter()
            .map(|(key, value)| format!("{key}={}", escaped(value)))
            .collect::<Vec<_>>()
            .join("&");
        Ok(Self::new(Method::POST, path, body.into())?.with(header::CONTENT_TYPE, FORM))
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same by somebody who is signed in: `bearer` is the header's whole value.
    #[must_use]
    pub fn by(self, bearer: &HeaderValue) -> Self {
        self.with(header::AUTHORIZATION, bearer.clone())
    }

    /// The same under an idempotency key.
    ///
    /// # Errors
    /// If it can't be one.
    pub fn once(self, key: &str) -> Result<Self, Lost> {
        let key = HeaderValue::from_str(key).map_err(|error| lost("key")(&error))?;
        Ok(self.with(IDEMPOTENCY_KEY, key))
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.uri)
    }
}

impl Answer {
    /// After how long to come again, if it says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        Some(Duration::from_secs(seconds.parse().ok()?))
    }
}

/// The header of somebody with this access token.
///
/// # Errors
/// If it is no token.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, Lost> {
    HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| lost("token")(&error))
}

/// Percent-encoded, for a form or a query.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        for wrong in ["127.0.0.1:3000", "https://127.0.0.1", "http://", "ftp://x", "x y"] {
            assert!(Http::new(wrong, Tasks::new()).await.is_err(), "{wrong}");
        }
        assert!(Http::new("http://127.0.0.1:3000", Tasks::new()).await.is_ok());
        assert_eq!(escaped("a+b@c.d é"), "a%2Bb%40c.d%20%C3%A9");
    }
}
