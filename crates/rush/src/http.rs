//! HTTP/1.1 for many requests from one process, on the processors that the platform needs: a
//! request is bytes before it is made, connections are kept and shared, whoever asks reads the
//! answer, and nothing is followed or unpacked.

mod connection;

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use tokio::{net::TcpStream, time::timeout};

use self::connection::Connection;

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long one waits for an answer before it counts as lost.
const ANSWER_TIME: Duration = Duration::from_secs(20);
const MAX_IDLE: usize = 4_096;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One server.
pub struct Http {
    address: SocketAddr,
    host: String,
    idle: Mutex<Vec<Connection>>,
    opened: AtomicU64,
}

/// A request to be made, any number of times.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    path: String,
    /// Lines of the head, each with its end.
    headers: Vec<u8>,
    body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// After how long to come again, if it says so.
    pub(crate) retry_after: Option<Duration>,
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
    pub async fn new(base: &str) -> Result<Self, Lost> {
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
        let host = authority.to_string();
        Ok(Self { address, host, idle: Mutex::default(), opened: AtomicU64::new(0) })
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
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => self.open().await?,
        };
        let (answer, keeps) = connection.ask(call, &self.host).await?;
        if keeps {
            self.give_back(connection);
        }
        Ok(answer)
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.is_open() {
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
        self.opened.fetch_add(1, Relaxed);
        Ok(Connection::new(stream))
    }
}

impl Call {
    fn new(method: Method, path: &str, body: Bytes) -> Result<Self, Lost> {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Lost(format!("{path:?} is no path")));
        }
        Ok(Self { method, path: path.to_owned(), headers: Vec::new(), body })
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
        Ok(Self::new(Method::POST, path, json.into())?.with(&header::CONTENT_TYPE, &JSON))
    }

    /// `PUT path` with JSON.
    ///
    /// # Errors
    /// If the path is none.
    pub fn put(path: &str, json: impl Into<Bytes>) -> Result<Self, Lost> {
        Ok(Self::new(Method::PUT, path, json.into())?.with(&header::CONTENT_TYPE, &JSON))
    }

    /// `PATCH path` with JSON.
    ///
    /// # Errors
    /// If the path is none.
    pub fn patch(path: &str, json: impl Into<Bytes>) -> Result<Self, Lost> {
        Ok(Self::new(Method::PATCH, path, json.into())?.with(&header::CONTENT_TYPE, &JSON))
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
        Ok(Self::new(Method::POST, path, body.into())?.with(&header::CONTENT_TYPE, &FORM))
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &HeaderName, value: &HeaderValue) -> Self {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.headers.extend_from_slice(part);
        }
        self
    }

    /// The same by somebody who is signed in: `bearer` is the header's whole value.
    #[must_use]
    pub fn by(self, bearer: &HeaderValue) -> Self {
        self.with(&header::AUTHORIZATION, bearer)
    }

    /// The same under an idempotency key.
    ///
    /// # Errors
    /// If it can't be one.
    pub fn once(self, key: &str) -> Result<Self, Lost> {
        let key = HeaderValue::from_str(key).map_err(|error| lost("key")(&error))?;
        Ok(self.with(&IDEMPOTENCY_KEY, &key))
    }

    /// The bytes of the request to a server of this name.
    fn write(&self, host: &str, to: &mut Vec<u8>) {
        let Self { method, path, headers, body } = self;
        let line = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n",
            body.len()
        );
        for part in [line.as_bytes(), headers, b"\r\n", body] {
            to.extend_from_slice(part);
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
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
            assert!(Http::new(wrong).await.is_err(), "{wrong}");
        }
        assert!(Http::new("http://127.0.0.1:3000").await.is_ok());
        assert_eq!(escaped("a+b@c.d é"), "a%2Bb%40c.d%20%C3%A9");
    }
}
