//! A connection of the mesh, plain or TLS: how a client opens one, and how a server takes one.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use crate::{mesh::Shared, tls::Identity};

/// How long a client waits for a connection, its TLS included.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a server waits for a client's first bytes, or the whole of its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a refused client may take to read why, and how much of what it says is passed over.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: u64 = 64 * 1024;

/// A connection; it holds its place among those of the server, if it is a server's.
pub(crate) struct Socket {
    stream: Stream,
    _place: Option<OwnedSemaphorePermit>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Where a replica is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// One of the host's addresses; without, any of them.
    pub(crate) at: Option<SocketAddr>,
    /// The name that its certificate must have, if it is to have one.
    pub(crate) name: Option<ServerName<'static>>,
}

/// Opens connections to one place.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) place: Arc<Place>,
    pub(crate) shared: Arc<Shared>,
}

impl Connector {
    async fn connect(self) -> io::Result<TokioIo<Socket>> {
        Ok(TokioIo::new(timeout(CONNECT, self.open()).await??))
    }

    async fn open(&self) -> io::Result<Socket> {
        let Place { host, port, at, name } = &*self.place;
        let tcp = match at {
            Some(at) => TcpStream::connect(at).await?,
            None => TcpStream::connect((host.as_str(), *port)).await?,
        };
        tcp.set_nodelay(true)?;
        let stream = match (name, self.shared.identity()) {
            (None, _) => Stream::Plain(tcp),
            (Some(_), None) => return Err(io::Error::other("no certificate to show")),
            (Some(name), Some(identity)) => {
                let tls = identity.client.connect(name.clone(), tcp).await?;
                Stream::Tls(Box::new(tls.into()))
            }
        };
        Ok(Socket { stream, _place: None })
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// A server's side of a connection that a client has opened.
///
/// # Errors
/// If the client says nothing in time, or can't show a certificate where it must.
pub(crate) async fn accept(
    tcp: TcpStream,
    identity: Option<Arc<Identity>>,
    place: OwnedSemaphorePermit,
) -> io::Result<Socket> {
    tcp.set_nodelay(true)?;
    let stream = match identity {
        None => {
            timeout(HANDSHAKE, tcp.peek(&mut [0])).await??;
            Stream::Plain(tcp)
        }
        Some(identity) => Stream::Tls(Box::new(timeout(HANDSHAKE, shake(tcp, &identity)).await??)),
    };
    Ok(Socket { stream, _place: Some(place) })
}

async fn shake(tcp: TcpStream, identity: &Identity) -> io::Result<TlsStream<TcpStream>> {
    match identity.server.accept(tcp).into_fallible().await {
        Ok(tls) => Ok(tls.into()),
        Err((error, mut tcp)) => {
            // Closed with bytes unread, the connection would be reset, and the client would not
            // read why.
            let farewell = async {
                tcp.shutdown().await?;
                tokio::io::copy(&mut tcp.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
            };
            let _ = timeout(FAREWELL, farewell).await;
            Err(error)
        }
    }
}

impl Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
