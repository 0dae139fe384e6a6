//! The listener of a gRPC face.

use std::{io, pin::pin, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use crate::guard::MAX_UNDER_WAY;

/// A connection without a sign of life for this long is asked for one, and closed if none comes.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls under way may take to finish after the stop. Idle connections close at once.
const DRAIN: Duration = Duration::from_secs(10);
/// Calls at a time on one connection; a peer has one connection for all of its calls.
const MAX_STREAMS: u32 = 1_024;
const _: () = assert!((MAX_STREAMS as usize) < MAX_UNDER_WAY);

/// Serves `routes` (as [`crate::Mesh::fill`] returned them, with health and reflection) on
/// `listener` until `stop`; then lets calls under way finish, for ten seconds at most.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(Some(MAX_STREAMS))
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
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
