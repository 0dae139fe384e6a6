//! A server that can be killed, and stopped in its tracks, as a process can: it has a thread and a
//! runtime of its own.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering::SeqCst, mpsc},
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::world::{Script, mesh, routes, settings};

pub(crate) struct Process {
    pub(crate) script: Arc<Script>,
    pub(crate) address: SocketAddr,
    runtime: Handle,
    killed: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// While it is held, the process does nothing at all.
pub(crate) struct Paused(
    #[expect(dead_code, reason = "held, and dropped to go on")] mpsc::Sender<()>,
);

impl Process {
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (killed, script) = (CancellationToken::new(), Arc::new(Script::default()));
        let (handle, kill, acted) = (runtime.handle().clone(), killed.clone(), script.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let home = mesh(settings(&[]));
                let routes = home.fill("user", routes(&acted)).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serving = home.serve(listener, routes, CancellationToken::new());
                tokio::select! {
                    ended = serving => ended.unwrap(),
                    () = kill.cancelled() => {}
                }
            });
            // With the runtime go all of its sockets, whatever was under way.
            drop(runtime);
        });
        Self { script, address, runtime: handle, killed, thread: Some(thread) }
    }

    /// Ends it on the spot.
    pub(crate) fn kill(&mut self) {
        self.killed.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Lets it do nothing: its sockets stay, and connections are still made, by the system.
    pub(crate) fn pause(&self) -> Paused {
        let (resume, resumed) = mpsc::channel::<()>();
        let (entered, paused) = mpsc::channel();
        drop(self.runtime.spawn(async move {
            entered.send(()).unwrap();
            let _ = resumed.recv();
        }));
        paused.recv().unwrap();
        Paused(resume)
    }

    /// How many calls have arrived since this was last asked.
    pub(crate) fn arrived(&self) -> u32 {
        self.script.calls.swap(0, SeqCst)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
