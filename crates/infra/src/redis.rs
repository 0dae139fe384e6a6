//! Redis 7 or later, with an append-only file.

use std::{ops::Deref, path::PathBuf, process::Command};

use crate::{
    Failure, Keep, Kind, Server,
    install::{find, find_or_install, number_after, output},
    place,
};

const OLDEST_MAJOR: u32 = 7;
const SOCKET: &str = "redis.sock";

/// When Redis flushes its append-only file to disk. It writes the file before it answers in any
/// case, so nothing is lost when Redis itself is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before it answers.
    Always,
    /// Once a second: what a machine that stops may lose.
    EverySecond,
}

/// How Redis is to run.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// When it flushes.
    pub fsync: Fsync,
    /// How long it is there.
    pub keep: Keep,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self { fsync: Fsync::EverySecond, keep: Keep::WhileOwned }
    }
}

/// A running Redis.
#[derive(Debug)]
pub struct Redis(Server);

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// Why there is none, and how to get it if it is missing.
    pub fn start(options: &RedisOptions) -> Result<Self, Failure> {
        let program = program()?;
        let mut server = Server::new(Kind::Redis, &options.keep)?;
        let fsync = match options.fsync {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
        };
        server.start(|server| {
            let settings = format!(
                "bind 127.0.0.1\nport {}\nunixsocket {SOCKET}\nunixsocketperm 700\n\
                 dir {}\ndaemonize no\nappendonly yes\n\
                 appendfsync {fsync}\nsave \"\"\n",
                server.port(),
                server.directory().display(),
            );
            server.write("redis.conf", &settings)?;
            Ok(format!("exec '{}' ./redis.conf", program.display()))
        })?;
        Ok(Self(server))
    }

    /// Its url.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Its url by its socket: how programs of the same machine reach it for less. Where the path of
    /// the socket would be too long, [`url`](Self::url).
    #[must_use]
    pub fn local_url(&self) -> String {
        let socket = self.directory().join(SOCKET);
        if place::fits_socket(&socket) {
            format!("redis+unix://{}", socket.display())
        } else {
            self.url()
        }
    }

    /// As a plain server.
    #[must_use]
    pub fn into_server(self) -> Server {
        self.0
    }
}

fn program() -> Result<PathBuf, Failure> {
    find_or_install("Redis 7 or later", &["redis-server"], || {
        let program = find("redis-server")?;
        let version = output(Command::new(&program).arg("--version")).ok()?;
        (number_after(&version, "v=")? >= OLDEST_MAJOR).then_some(program)
    })
}
