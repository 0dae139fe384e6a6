//! The listener of a gRPC face.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use futures_util::{Stream, StreamExt, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};

use crate::{
    guard::MAX_UNDER_WAY,
    mesh::Shared,
    socket::{self, Socket},
};

/// A connection without a sign of life for this long is asked for one, and closed if none comes.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls under way may take to finish after the stop. Idle connections close at once.
const DRAIN: Duration = Duration::from_secs(10);
/// Calls at a time on one connection; a peer has one connection for all of its calls.
const MAX_STREAMS: u32 = 1_024;
const _: () = assert!((MAX_STREAMS as usize) < MAX_UNDER_WAY);
/// Connections at a time, those included that have yet to say a word; further ones wait.
const MAX_CONNECTIONS: usize = 1_024;
/// The pause after a connection could not be taken, for want of descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` on `listener` until `stop`; then lets calls under way finish.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    routes: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(Some(MAX_STREAMS))
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(incoming(shared, listener), stop.clone().cancelled_owned());
    let mut server = pin!(server);
    let stopped = tokio::select! {
        ended = &mut server => Some(ended),
        () = stop.cancelled() => timeout(DRAIN, server).await.ok(),
    };
    match stopped {
        Some(ended) => ended.map_err(io::Error::other),
        None => {
            tracing::warn!(seconds = DRAIN.as_secs(), "calls under way abandoned");
            Ok(())
        }
    }
}

/// Connections that are ready for use. Handshakes go on side by side, so that a slow one delays
/// nobody.
fn incoming(shared: Arc<Shared>, listener: TcpListener) -> impl Stream<Item = io::Result<Socket>> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepted = stream::unfold((listener, places), |(listener, places)| async {
        let taken = take(&listener, &places).await?;
        Some((taken, (listener, places)))
    });
    let shaken = accepted.map(move |(tcp, place)| {
        let identity = shared.identity();
        async move {
            let peer = tcp.peer_addr().ok();
            let shaken = socket::accept(tcp, identity, place).await;
            shaken.inspect_err(|error| tracing::debug!(?peer, %error, "connection refused")).ok()
        }
    });
    shaken.buffer_unordered(MAX_CONNECTIONS).filter_map(async |shaken| shaken.map(Ok))
}

/// The next connection, and its place among those allowed; none if places are no longer given.
async fn take(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => return Some((tcp, place)),
            Err(error) => {
                tracing::warn!(%error, "connection not taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
