//! Calls to other servers over HTTP, which take no socket where a face of this process answers.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, header},
};
use reqwest::{ClientBuilder, RequestBuilder, Url};
use tower::ServiceExt;

/// The longest answer that is taken from a face of this process.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The HTTP faces of this process, by the addresses they listen on. Cheap to clone.
#[derive(Clone, Default)]
pub struct Nearby(Arc<RwLock<HashMap<SocketAddr, Router>>>);

/// Calls servers: those of this process by their routes, all others over the network. The one is
/// like the other for both sides: the same request (without `Content-Length`), limit and answer,
/// and a call that is given up drops its handler. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    network: reqwest::Client,
    limit: Duration,
    nearby: Nearby,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The request is none, or the server can't be reached, in time or at all.
    #[error("{0}")]
    Network(#[source] reqwest::Error),
    /// A face of this process took too long.
    #[error("no answer in time")]
    Late,
    /// A face of this process broke off.
    #[error("the answer ends too early: {0}")]
    Broken(#[source] axum::Error),
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        // Addresses may hold what is nobody's business.
        Self::Network(error.without_url())
    }
}

impl Nearby {
    /// Notes that `router` is served at `address`.
    pub fn add(&self, address: SocketAddr, router: Router) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(address, router);
    }

    fn find(&self, url: &Url) -> Option<Router> {
        if url.scheme() != "http" {
            return None;
        }
        let address = SocketAddr::new(url.host_str()?.parse().ok()?, url.port_or_known_default()?);
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()
    }
}

impl Client {
    /// A client that waits for an answer at most for `limit`.
    ///
    /// # Errors
    /// If `network` makes no client.
    pub fn new(
        network: ClientBuilder,
        limit: Duration,
        nearby: Nearby,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { network: network.timeout(limit).build()?, limit, nearby })
    }

    /// A request to be sent with [`Client::send`].
    pub fn request(&self, method: reqwest::Method, url: &str) -> RequestBuilder {
        self.network.request(method, url)
    }

    /// Sends `request` and waits for its answer.
    ///
    /// # Errors
    /// If there is none, or none in time.
    pub async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, Unanswered> {
        let request = request.build()?;
        let Some(router) = self.nearby.find(request.url()) else {
            return Ok(self.network.execute(request).await?);
        };
        let host = HeaderValue::from_str(request.url().authority()).ok();
        let mut request: Request<Body> = Request::try_from(request)?.map(Body::new);
        request.headers_mut().extend(host.map(|host| (header::HOST, host)));
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        request.extensions_mut().insert(ConnectInfo(nobody));
        let answer = async move {
            let Ok(answer) = router.oneshot(request).await;
            let (parts, body) = answer.into_parts();
            let body = to_bytes(body, MAX_ANSWER_BYTES).await.map_err(Unanswered::Broken)?;
            Ok(Response::from_parts(parts, body).into())
        };
        tokio::time::timeout(self.limit, answer).await.map_err(|_| Unanswered::Late)?
    }
}

#[cfg(test)]
mod tests {
    use axum::{http::HeaderMap, routing::post};
    use reqwest::Method;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::Tasks;

    fn routes(name: &'static str) -> Router {
        let echo = async move |headers: HeaderMap, body: String| {
            let key = headers.get("key").and_then(|key| key.to_str().ok()).unwrap_or_default();
            let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
            (axum::http::StatusCode::CREATED, format!("{name} {key} {body} {host}"))
        };
        let never = async || std::future::pending::<()>().await;
        Router::new().route("/echo", post(echo)).route("/never", post(never))
    }

    fn client(nearby: &Nearby, limit: Duration) -> Client {
        let network = reqwest::Client::builder().no_proxy().tls_certs_only(std::iter::empty());
        Client::new(network, limit, nearby.clone()).unwrap()
    }

    async fn echo(client: &Client, url: &str) -> (u16, String) {
        let request = client.request(Method::POST, url).header("key", "k").form(&[("a", "1 2")]);
        let answer = client.send(request).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn a_face_of_this_process_answers_without_its_socket_and_others_by_theirs() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (serving, tasks) =
            (super::super::serve(listener, routes("far"), stop.clone()), Tasks::new());
        tasks.spawn("serve", async move { serving.await.unwrap() });
        let nearby = Nearby::default();
        let client = client(&nearby, Duration::from_secs(10));
        let url = format!("http://{address}/echo");
        let far = echo(&client, &url).await;
        assert_eq!(far, (201, format!("far k a=1+2 {address}")));
        nearby.add(address, routes("near"));
        assert_eq!(echo(&client, &url).await, (201, far.1.replace("far", "near")));
        let secure = client.request(Method::POST, &format!("https://{address}/echo"));
        let unanswered = client.send(secure).await.unwrap_err();
        assert!(matches!(unanswered, Unanswered::Network(_)), "{unanswered}");
        assert!(!unanswered.to_string().contains("echo"), "{unanswered}");
        stop.cancel();
        assert_eq!(tasks.stop(Duration::from_secs(10)).await, 0);
    }

    #[tokio::test]
    async fn a_face_that_takes_too_long_is_given_up() {
        let nearby = Nearby::default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        nearby.add(address, routes("near"));
        let client = client(&nearby, Duration::from_millis(20));
        let request = client.request(Method::POST, &format!("http://{address}/never"));
        assert!(matches!(client.send(request).await, Err(Unanswered::Late)));
    }
}
