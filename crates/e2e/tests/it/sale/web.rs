//! The clients' side: requests that may get lost with the process, and are asked again until they
//! are answered.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How long one try may take.
const ONE_TRY: Duration = Duration::from_secs(10);
/// The pause before a platform that can't serve at the moment is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a running platform is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Face {
    /// `http://host:port` of each gateway.
    gateways: Vec<String>,
    /// The same of the payment provider.
    provider: String,
    /// With which a buyer's browser talks to the provider.
    publishable_key: String,
}

/// A request to the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: reqwest::Method,
    path: String,
    token: String,
    key: String,
    body: Option<Value>,
}

/// What became of one try.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// It was answered for good.
    Answer(u16, Value),
    /// Nothing is known: it may have had its effect.
    Lost,
}

/// All clients together: they know where the platform is at the moment.
pub(crate) struct Web {
    http: reqwest::Client,
    face: watch::Receiver<Option<Face>>,
    /// How long a client goes on asking before it gives up.
    patience: Duration,
    asked: AtomicUsize,
    answered: AtomicU64,
    lost: AtomicU64,
    unanswered: Mutex<Vec<String>>,
}

impl Face {
    /// The platform with these gateways, which know the rest.
    pub(crate) async fn of(gateways: Vec<String>) -> Self {
        let settings = format!("{}/api/v1/settings", gateways[0]);
        let settings: Value = reqwest::get(settings).await.unwrap().json().await.unwrap();
        let text = |key: &str| settings["payment"][key].as_str().unwrap().to_owned();
        Self { provider: text("api_base"), publishable_key: text("publishable_key"), gateways }
    }
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        let (path, token, key) = (path.into(), String::new(), String::new());
        Self { method: reqwest::Method::GET, path, token, key, body: None }
    }

    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        let method = reqwest::Method::POST;
        Self { method, body: Some(body.clone()), ..Self::get(path) }
    }

    pub(crate) fn put(path: impl Into<String>, body: &Value) -> Self {
        Self { method: reqwest::Method::PUT, ..Self::post(path, body) }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: reqwest::Method::DELETE, ..Self::get(path) }
    }

    pub(crate) fn by(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
    }

    pub(crate) fn once(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }
}

impl Web {
    pub(crate) fn new(face: watch::Receiver<Option<Face>>, patience: Duration) -> Self {
        let http = reqwest::Client::builder().timeout(ONE_TRY).build().unwrap();
        Self {
            http,
            face,
            patience,
            asked: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            unanswered: Mutex::default(),
        }
    }

    /// What was asked until patience was over.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.unanswered.lock().unwrap().clone()
    }

    /// How many tries got lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Waits until so many more requests have been answered, or the time is over.
    pub(crate) async fn hears(&self, count: u64, time: Duration) {
        let enough = self.answered.load(Relaxed) + count;
        let answers = async {
            while self.answered.load(Relaxed) < enough {
                sleep(PAUSE).await;
            }
        };
        let _in_time = timeout(time, answers).await;
    }

    /// Where the platform is, once it is.
    async fn face(&self) -> Face {
        let mut face = self.face.clone();
        let found = face.wait_for(Option::is_some).await;
        found.expect("the platform is gone for good").clone().unwrap()
    }

    /// Asks once: one gateway after the other in turn.
    pub(crate) async fn ask(&self, call: &Call) -> Heard {
        let gateways = self.face().await.gateways;
        let gateway = &gateways[self.asked.fetch_add(1, Relaxed) % gateways.len()];
        let url = format!("{gateway}{}", call.path);
        let mut request = self.http.request(call.method.clone(), url);
        if !call.token.is_empty() {
            request = request.bearer_auth(&call.token);
        }
        if !call.key.is_empty() {
            request = request.header("Idempotency-Key", &call.key);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        self.hear(request).await
    }

    /// Pays at the provider, as the buyer's browser does.
    pub(crate) async fn pay(&self, client_secret: &str, card: &str) -> Heard {
        let face = self.face().await;
        let intent = client_secret.split("_secret_").next().unwrap();
        let url = format!("{}/v1/payment_intents/{intent}/confirm", face.provider);
        let form = [
            ("key", face.publishable_key.as_str()),
            ("client_secret", client_secret),
            ("payment_method", card),
        ];
        self.hear(self.http.post(url).form(&form)).await
    }

    async fn hear(&self, request: reqwest::RequestBuilder) -> Heard {
        let answer = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        };
        match answer.await {
            Ok((status, text)) if status < 500 && status != 429 => {
                self.answered.fetch_add(1, Relaxed);
                Heard::Answer(status, serde_json::from_str(&text).unwrap_or(Value::Null))
            }
            _ => {
                self.lost.fetch_add(1, Relaxed);
                Heard::Lost
            }
        }
    }

    /// Asks until there is an answer; none if there never is one, which is remembered.
    pub(crate) async fn insist(&self, call: &Call) -> Option<(u16, Value)> {
        let tries = async {
            loop {
                match self.ask(call).await {
                    Heard::Answer(status, body) => return (status, body),
                    Heard::Lost => sleep(PAUSE).await,
                }
            }
        };
        let answered = timeout(self.patience, tries).await;
        if answered.is_err() {
            let words = format!("stuck: {} {} was never answered", call.method, call.path);
            self.unanswered.lock().unwrap().push(words);
        }
        answered.ok()
    }

    /// Asks until there is an answer, which is to have `status`.
    pub(crate) async fn expect(&self, call: &Call, status: u16) -> Value {
        let (got, body) = self.insist(call).await.expect("an answer");
        assert_eq!(got, status, "{} {}: {body}", call.method, call.path);
        body
    }
}
