//! A way between two services that can be cut: nothing gets through, and nobody is told.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// Hands connections on to a port of the loopback interface.
pub(crate) struct Relay {
    port: u16,
    open: Arc<watch::Sender<bool>>,
    /// Ends with it.
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Listens on a free port for `target`.
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(watch::Sender::new(true));
        let mut tasks = JoinSet::new();
        let sender = open.clone();
        tasks.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                while ways.try_join_next().is_some() {}
                let open = sender.subscribe();
                ways.spawn(connect(from, target, open));
            }
        });
        Self { port, open, _tasks: tasks }
    }

    /// `scheme://host:port` to call instead of the target.
    pub(super) fn address(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// From now on no byte gets through, in either direction, and no connection ends.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// What was held up goes on.
    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn connect(from: TcpStream, target: u16, mut open: watch::Receiver<bool>) {
    if open.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(to) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    tokio::select! {
        () = pass(from_read, to_write, open.clone()) => {}
        () = pass(to_read, from_write, open) => {}
    }
}

/// Hands on what comes, while the way is open.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
