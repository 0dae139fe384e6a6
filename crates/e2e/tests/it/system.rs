//! A whole platform in this process, in a directory of its own, and a client that reads answers
//! as they are.

use std::{path::Path, sync::Arc};

use boxoffice::{Running, StartError, demo};
use infra::{Postgres, PostgresOptions};
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Passwords are hashed as fast as the algorithm lets, and nothing is logged.
pub(crate) const QUICK: [(&str, &str); 3] =
    [("auth.argon2_memory_kib", "8"), ("auth.argon2_passes", "1"), ("log.filter", "error")];

/// A platform on free ports.
pub(crate) struct System {
    directory: Arc<TempDir>,
    /// Where its databases are, if not in the directory.
    pub(crate) postgres: Option<Postgres>,
    pub(crate) running: Running,
    people: Vec<(&'static str, &'static str, String)>,
}

impl System {
    pub(crate) async fn start(values: &[(&str, &str)]) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), values, Vec::new()).await
    }

    /// The same with its databases on a PostgreSQL server of its own.
    pub(crate) async fn start_on_postgres(values: &[(&str, &str)]) -> Self {
        let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
        let postgres = Postgres::start(&options).unwrap_or_else(|error| panic!("{error}"));
        let server = postgres.server_url();
        let values = [values, &[("boxoffice.database", server.as_str())]].concat();
        let system = Self::start(&values).await;
        Self { postgres: Some(postgres), ..system }
    }

    async fn start_in(
        directory: Arc<TempDir>,
        values: &[(&str, &str)],
        mut people: Vec<(&'static str, &'static str, String)>,
    ) -> Self {
        let running = try_start(&directory.path().join("data"), values).await.unwrap();
        let new = running.new_accounts().iter();
        people.extend(new.map(|its| (its.title, its.email, its.password.expose().clone())));
        Self { directory, postgres: None, running, people }
    }

    /// Stops it, and starts another on its state.
    pub(crate) async fn restart(self) -> Self {
        assert!(self.postgres.is_none(), "its settings are not kept");
        self.running.stop().await;
        Self::start_in(self.directory, &[], self.people).await
    }

    /// Nobody in particular, at the gateway.
    pub(crate) fn visitor(&self) -> Web {
        Web::new(&format!("http://{}", self.running.addresses("gateway").http.unwrap()))
    }

    /// Address and password of a demo account, by its title.
    pub(crate) fn login(&self, title: &str) -> Value {
        let (_, email, password) = self.people.iter().find(|(its, ..)| *its == title).unwrap();
        json!({"email": email, "password": password})
    }

    /// A demo account by its title, signed in.
    pub(crate) async fn person(&self, title: &str) -> Web {
        let visitor = self.visitor();
        let tokens = visitor.post("/api/v1/auth/login", &self.login(title)).await.expect(200);
        visitor.with_token(tokens["access_token"].as_str().unwrap())
    }
}

/// Starts a platform that keeps its state in `directory`.
pub(crate) async fn try_start(
    directory: &Path,
    values: &[(&str, &str)],
) -> Result<Running, StartError> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let values: Vec<_> = QUICK.iter().chain(values).map(own).collect();
    boxoffice::start(demo::settings(directory, &values)?).await
}

/// Somebody at the gateway: a visitor, or signed in.
#[derive(Clone)]
pub(crate) struct Web {
    http: reqwest::Client,
    base: String,
    pub(crate) token: Option<String>,
}

/// A request, as data, so that tests can make it wrong.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Ask {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: None }
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self.header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) asked: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON of an answer with `status`.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.body);
        self.body
    }
}

impl Web {
    pub(crate) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self { http: http.build().unwrap(), base: base.to_owned(), token: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Ask::new(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Ask::new(Method::POST, path).json(body)).await
    }

    pub(crate) async fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        let ask = Ask::new(Method::POST, path).json(body).header("idempotency-key", key);
        self.send(ask).await
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let Ask { method, path, headers, body } = ask;
        let shown = String::from_utf8_lossy(body.as_deref().unwrap_or_default());
        let asked = format!("{method} {path} {}", shown.chars().take(500).collect::<String>());
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| text());
        Answer { asked, status, headers, body }
    }
}
