//! Where a platform's stores are: files in a state directory, or servers.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use db::{FromValue, Row, Settings};
use kernel::Secret;
use platform::{
    Tasks,
    kv::{Kv, RedisSettings},
};

/// The provider's own books. They are in a file wherever it runs.
pub(crate) const PROVIDER: &str = "stripe_sandbox";

/// All stores of one platform.
#[derive(Debug, Clone)]
pub(crate) enum Stores {
    /// Everything is in this state directory.
    Files(PathBuf),
    /// Everything is on servers, but for the provider's books.
    Servers(Servers),
}

/// Where each part is.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    /// The PostgreSQL server, without a database.
    pub(crate) database: String,
    /// The Redis server.
    pub(crate) redis: String,
    /// The Kafka brokers.
    pub(crate) brokers: String,
    /// The sandbox's state directory.
    pub(crate) sandbox: PathBuf,
    /// A database to read instead of the one of this name.
    pub(crate) instead: Option<(String, String)>,
}

impl Stores {
    /// Where the database called `name` is.
    pub(crate) fn url(&self, name: &str) -> String {
        let file = |state: &Path| format!("sqlite:{}/{name}.sqlite", state.display());
        match self {
            Self::Files(state) => file(state),
            Self::Servers(servers) if name == PROVIDER => file(&servers.sandbox),
            Self::Servers(servers) => match &servers.instead {
                Some((its, other)) if its == name => format!("{}/{other}", servers.database),
                _ => format!("{}/{name}", servers.database),
            },
        }
    }

    /// The same for the audit.
    pub(crate) fn audited(&self) -> audit::Stores {
        let servers = match self {
            Self::Files(state) => return audit::Stores::in_directory(state),
            Self::Servers(servers) => servers,
        };
        let namespace = String::new();
        audit::Stores {
            databases: audit::DATABASES.map(|name| (name, self.database(name))).into(),
            log: audit::Log::Brokers {
                brokers: servers.brokers.clone(),
                namespace: namespace.clone(),
            },
            queue: audit::Queue::Redis { url: servers.redis.clone(), namespace },
            provider: Some(servers.sandbox.join(format!("{PROVIDER}.sqlite"))),
        }
    }

    fn database(&self, name: &str) -> audit::Database {
        audit::Database::Server(audit::Server { url: self.url(name), ca_file: None })
    }

    pub(crate) fn settings(&self, name: &str) -> Settings {
        Settings { create: false, max_connections: 2, ..Settings::new(self.url(name)) }
    }

    /// The same stores with a copy of the database called `name`, and of nothing else that anybody
    /// writes; files are copied into `directory`. Nobody may be at work.
    pub(crate) async fn with_copy(&self, name: &str, directory: &Path) -> Self {
        static COPIES: AtomicUsize = AtomicUsize::new(0);
        let copy_files = |from: &Path| {
            for file in fs::read_dir(from).unwrap() {
                let file = file.unwrap();
                if file.file_type().unwrap().is_file() {
                    fs::copy(file.path(), directory.join(file.file_name())).unwrap();
                }
            }
        };
        match self {
            Self::Files(state) => {
                copy_files(state);
                Self::Files(directory.to_owned())
            }
            Self::Servers(servers) if name == PROVIDER => {
                copy_files(&servers.sandbox);
                let sandbox = directory.to_owned();
                Self::Servers(Servers { sandbox, ..servers.clone() })
            }
            Self::Servers(servers) => {
                let copy = format!("{name}_copy_{}", COPIES.fetch_add(1, Relaxed));
                let statement = format!("create database {copy} template {name}");
                let server = format!("{}/postgres", servers.database);
                let (client, connection) =
                    tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
                let (made, _ended) =
                    tokio::join!(async move { client.batch_execute(&statement).await }, connection);
                made.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                let instead = Some((name.to_owned(), copy));
                Self::Servers(Servers { instead, ..servers.clone() })
            }
        }
    }
}

impl Servers {
    /// The waiting queue and its like.
    pub(crate) async fn kv(&self, tasks: &Tasks) -> Kv {
        let (url, namespace) = (Secret::new(self.redis.clone()), String::new());
        Kv::redis(&RedisSettings { url, namespace }, tasks).await.unwrap()
    }
}

/// The column at `index`.
pub(crate) fn at<T: FromValue>(row: &Row, index: usize) -> T {
    row.get(index).unwrap()
}
