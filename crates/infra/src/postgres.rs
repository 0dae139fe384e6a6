//! PostgreSQL 15 or later: a primary, and replicas that stream from it.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    Failure, Keep, Kind, Server,
    install::{find_or_install, number_after, output, path_folders},
    place, probe,
};

const OLDEST_MAJOR: u32 = 15;
const QUERY_TIME: Duration = Duration::from_secs(10);

/// How a primary is to run.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Whether a commit is flushed to disk. Off is faster, and loses nothing when the server is
    /// killed, but all when the machine is.
    pub fsync: bool,
    /// The most connections.
    pub max_connections: u32,
    /// Speaks TLS with those who ask for it.
    pub tls: Option<Tls>,
    /// How long it is there.
    pub keep: Keep,
}

/// A server's certificate and its key, each as PEM text.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate, and those between it and the authority.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { fsync: true, max_connections: 200, tls: None, keep: Keep::WhileOwned }
    }
}

/// A running primary. Everyone who reaches it is let in as `postgres`.
#[derive(Debug)]
pub struct Postgres(Server);

/// A running replica, read-only.
#[derive(Debug)]
pub struct Replica(Server);

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Deref for Replica {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Postgres {
    /// Makes a cluster and starts it, which takes about a second.
    ///
    /// # Errors
    /// Why there is none, and how to get the programs if they are missing.
    pub fn start(options: &PostgresOptions) -> Result<Self, Failure> {
        let programs = programs()?;
        let mut server = Server::new(Kind::Postgres, &options.keep)?;
        let mut initdb = server.command(&programs.join("initdb"))?;
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]);
        initdb.args(["--no-instructions", "--pgdata=cluster"]);
        if !options.fsync {
            initdb.arg("--no-sync");
        }
        output(&mut initdb)?;
        let mut settings = settings(options);
        if let Some(tls) = &options.tls {
            server.write("cluster/server.crt", &tls.certificate)?;
            server.write("cluster/server.key", &tls.key)?;
            settings += "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n";
        }
        let path = server.directory().join("cluster/postgresql.conf");
        let usual = fs::read_to_string(&path).map_err(|error| Failure::at(&path, &error))?;
        server.write("cluster/postgresql.conf", &(usual + &settings))?;
        server.start(|server| Ok(command(&programs, server)))?;
        Ok(Self(server))
    }

    /// The primary that somebody keeps in `directory`.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(directory: &Path) -> Result<Self, Failure> {
        let server = Server::find(directory)?;
        if server.kind() == Kind::Postgres {
            return Ok(Self(server));
        }
        Err(Failure::new(format!("{} holds no primary", directory.display())))
    }

    /// The url of its maintenance database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/postgres", self.server_url())
    }

    /// Its url without a database.
    #[must_use]
    pub fn server_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port())
    }

    /// Its url without a database, by its socket: how programs of the same machine reach it for
    /// less. Where the path of the socket would be too long, [`server_url`](Self::server_url).
    #[must_use]
    pub fn local_url(&self) -> String {
        let socket = self.directory().join(format!(".s.PGSQL.{}", self.port()));
        match socket.parent().and_then(Path::to_str) {
            Some(directory) if place::fits_socket(&socket) => {
                format!("postgres://postgres@{}:{}", directory.replace('/', "%2F"), self.port())
            }
            _ => self.server_url(),
        }
    }

    /// The first column of every row that `statement` gives, in the maintenance database.
    ///
    /// # Errors
    /// What the server says, or that it does not answer in ten seconds.
    pub fn query(&self, statement: &str) -> Result<Vec<String>, Failure> {
        probe::query(self.port(), statement, QUERY_TIME)
    }

    /// Copies it and starts a replica that streams from it, for as long as it is told to be kept.
    /// The replica keeps its place in the log however long it is down, up to a gigabyte.
    ///
    /// # Errors
    /// Why there is none.
    pub fn add_replica(&self, keep: &Keep) -> Result<Replica, Failure> {
        let programs = programs()?;
        let mut server = Server::new(Kind::Replica, keep)?;
        let name = format!("replica_{}", crate::random_hex(4)?);
        let source =
            format!("host=127.0.0.1 port={} user=postgres application_name={name}", self.port());
        let mut backup = server.command(&programs.join("pg_basebackup"))?;
        backup.args(["--pgdata=cluster", "--write-recovery-conf", "--wal-method=stream"]);
        backup.args(["--checkpoint=fast", "--create-slot", "--no-sync", "--slot", &name]);
        output(backup.args(["--dbname", &source]))?;
        server.start(|server| Ok(command(&programs, server)))?;
        Ok(Replica(server))
    }

    /// As a plain server.
    #[must_use]
    pub fn into_server(self) -> Server {
        self.0
    }
}

impl Replica {
    /// The url of its maintenance database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/postgres", self.server_url())
    }

    /// Its url without a database.
    #[must_use]
    pub fn server_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port())
    }

    /// As a plain server.
    #[must_use]
    pub fn into_server(self) -> Server {
        self.0
    }
}

/// Nothing is outside its directory but a segment of System V memory, whose number is in
/// `postmaster.pid`: no POSIX memory, which would outlive a server that is killed.
/// A replica tries again soon when its primary comes back, and says which rows it still reads, so
/// that cleaning up on the primary does not hold back its replay.
fn settings(options: &PostgresOptions) -> String {
    let fsync = if options.fsync { "on" } else { "off" };
    format!(
        "listen_addresses = '127.0.0.1'\nunix_socket_directories = '..'\n\
         dynamic_shared_memory_type = mmap\nmax_connections = {}\nfsync = {fsync}\n\
         full_page_writes = {fsync}\nshared_buffers = 128MB\nmax_wal_size = 4GB\n\
         wal_level = replica\nhot_standby = on\nmax_wal_senders = 10\n\
         max_replication_slots = 10\nmax_slot_wal_keep_size = 1GB\nhot_standby_feedback = on\n\
         wal_retrieve_retry_interval = 200ms\nwal_receiver_status_interval = 1s\n",
        options.max_connections
    )
}

/// What a killed server left would keep the next from starting if its process, a zombie, seems to
/// live; nothing in the directory lives when this runs.
fn command(programs: &Path, server: &Server) -> String {
    format!(
        "segment=$(sed -n '7s/.* //p' cluster/postmaster.pid 2>/dev/null)\n\
         [ -z \"$segment\" ] || ipcrm -m \"$segment\" 2>/dev/null\n\
         rm -f cluster/postmaster.pid\n\
         exec '{}' -D '{}/cluster' -p {}",
        programs.join("postgres").display(),
        server.directory().display(),
        server.port(),
    )
}

/// The folder with the newest usable programs; installed first where that is possible and needed.
fn programs() -> Result<PathBuf, Failure> {
    find_or_install("PostgreSQL 15 or later", &["postgresql"], || {
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
        folders.extend(path_folders());
        let usable = folders.into_iter().filter_map(|folder| Some((major(&folder)?, folder)));
        let (newest, folder) = usable.max_by_key(|(major, _)| *major)?;
        (newest >= OLDEST_MAJOR).then_some(folder)
    })
}

fn major(folder: &Path) -> Option<u32> {
    if !["initdb", "pg_basebackup"].iter().all(|name| folder.join(name).is_file()) {
        return None;
    }
    let version = output(Command::new(folder.join("postgres")).arg("--version")).ok()?;
    number_after(&version, "(PostgreSQL) ")
}
