//! Serves a router on a listener: bounded, deaf to clients that send nothing, and sure to end.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Tasks;

/// The most connections of one listener; upgraded ones (WebSocket) no longer count.
const MAX_CONNECTIONS: usize = 16_384;
/// A request's head must be there within this time; an idle connection is closed after it.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 65_536;
/// How long requests under way may go on after the stop, before their connections are cut.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a failed accept (no file handles left), and after how many in a row to give up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_FAILED_ACCEPTS: u32 = 600;

/// Serves `router` on `listener` until `stop`, then lets requests under way finish, and cuts what
/// takes too long. Handlers find the client's address as [`ConnectInfo`]. Speaks HTTP/1.1, with
/// upgrades.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let connections = Tasks::new();
    let cut = CancellationToken::new();
    let served = accept(&listener, &router, &connections, (&stop, &cut)).await;
    drop(listener);
    if connections.stop(DRAIN_LIMIT).await > 0 {
        cut.cancel();
        connections.stop(DRAIN_LIMIT).await;
    }
    served
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    connections: &Tasks,
    (stop, cut): (&CancellationToken, &CancellationToken),
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut failed = 0;
    loop {
        let slot = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            slot = slots.clone().acquire_owned() => slot.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failed = 0;
                let router = router.clone();
                let (drain, cut) = (connections.stopping(), cut.clone());
                connections.spawn("http connection", async move {
                    connection(stream, peer, router, slot, (drain, cut)).await;
                });
            }
            Err(error) if failed >= MAX_FAILED_ACCEPTS => return Err(error),
            Err(error) => {
                failed += 1;
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    _slot: OwnedSemaphorePermit,
    (drain, cut): (CancellationToken, CancellationToken),
) {
    // Answers are small and written whole: waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |request: Request<_>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD_BYTES);
    let served = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = drain.cancelled() => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = served => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended early");
    }
}
