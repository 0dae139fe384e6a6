//! Settings: one typed tree from the defaults in the crates, `boxoffice.toml`, `BOXOFFICE__…`
//! variables and flags.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use platform::config::{ConfigError, Tree};
use serde::Deserialize;

use crate::{
    SANDBOX,
    topology::{self, ROLES, Role},
};

/// The URL of parts that are in this process.
pub(crate) const MEMORY: &str = "memory:";
/// Stands before the addresses of brokers: `kafka://host:port,host:port`.
const KAFKA: &str = "kafka://";

/// The section `[boxoffice]`: what runs in this process, and where things are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Names of the services to run; empty: all.
    pub roles: Vec<String>,
    /// Where state is kept.
    pub state_directory: PathBuf,
    /// The address that faces listen on.
    pub host: String,
    /// `sqlite:` or the URL of a PostgreSQL server.
    pub database: String,
    /// The URL of a server that replicates it; empty: none.
    pub replica: String,
    /// Whether a pooler in transaction mode stands before the servers.
    pub transaction_pooling: bool,
    /// A PEM file with the roots that the servers' certificates are checked against; empty: none.
    pub database_ca: String,
    /// The most connections to each database, and as many to its replica.
    pub database_connections: usize,
    /// After how long a statement is given up, in milliseconds.
    pub statement_timeout_ms: u64,
    /// After how long waiting for a lock is given up, in milliseconds.
    pub lock_timeout_ms: u64,
    /// `memory:` or the URL of a Redis server.
    pub kv: String,
    /// `memory:` or the addresses of Kafka brokers.
    pub bus: String,
    /// Into how many partitions a topic is made.
    pub bus_partitions: i32,
    /// On how many brokers each is kept.
    pub bus_replication: i32,
    /// Stands before all keys, channels, topics and groups.
    pub namespace: String,
    /// Whether to make the demo at the first start.
    pub demo: bool,
    /// Whether to run the Stripe sandbox.
    pub sandbox: bool,
    /// How long a stop may take, in seconds.
    pub drain_seconds: u64,
    /// The deadline of calls that bring none, in milliseconds.
    pub call_deadline_ms: u64,
    /// The deployment's secret, as hex digits; empty: kept in the state directory.
    pub secret: String,
}

/// The section `[tls]`: PEM files for calls between services. All or none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Who signs the certificates of all processes.
    pub ca: PathBuf,
    /// This process's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Ports of one service's faces.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// gRPC.
    pub grpc: Option<u16>,
    /// HTTP.
    pub http: Option<u16>,
    /// Health and metrics.
    pub metrics: Option<u16>,
}

/// All settings of a process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The whole tree, for the services' own sections.
    pub tree: Tree,
    /// The section `[boxoffice]`.
    pub process: Process,
    /// The section `[listen]`.
    pub listen: BTreeMap<String, Ports>,
    /// The section `[remotes]`, without those that are empty.
    pub remotes: BTreeMap<String, Vec<String>>,
    /// The section `[tls]`, where it is filled in.
    pub tls: Option<TlsFiles>,
    /// The section `[log]`.
    pub log: platform::telemetry::Config,
}

/// Where settings come from, beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A configuration file. If none is named, `boxoffice.toml` is read where it exists.
    pub file: Option<PathBuf>,
    /// Whether to read the process environment.
    pub environment: bool,
    /// Single values, `section.key=value`.
    pub values: Vec<(String, String)>,
}

/// The sections with the text of their defaults, which is their documentation.
pub const SECTIONS: [(&str, &str); 16] = [
    ("boxoffice", include_str!("../config.toml")),
    ("listen", include_str!("../listen.toml")),
    ("remotes", include_str!("../remotes.toml")),
    ("tls", include_str!("../tls.toml")),
    ("log", include_str!("../log.toml")),
    (auth::NAME, auth::CONFIG),
    (user::NAME, user::CONFIG),
    (event::NAME, event::CONFIG),
    (ticket::NAME, ticket::CONFIG),
    (booking::NAME, booking::CONFIG),
    (payment::NAME, payment::CONFIG),
    (realtime::NAME, realtime::CONFIG),
    (booking_worker::NAME, booking_worker::CONFIG),
    (email_worker::NAME, email_worker::CONFIG),
    (gateway::NAME, gateway::CONFIG),
    (stripe_sandbox::NAME, stripe_sandbox::CONFIG),
];

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Names the file or key that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut tree = Tree::new();
        for (section, text) in SECTIONS {
            tree.defaults(section, text)?;
        }
        let usual = PathBuf::from("boxoffice.toml");
        match &sources.file {
            Some(path) => tree.file(path)?,
            None if sources.environment && usual.exists() => tree.file(&usual)?,
            None => {}
        }
        if sources.environment {
            tree.environment()?;
        }
        for (key, value) in &sources.values {
            tree.set(key, value)?;
        }
        Self::from_tree(tree)
    }

    fn from_tree(tree: Tree) -> Result<Self, ConfigError> {
        let process: Process = tree.section("boxoffice")?;
        let remotes: BTreeMap<String, Vec<String>> = tree.section("remotes")?;
        let settings = Self {
            listen: tree.section("listen")?,
            remotes: remotes.into_iter().filter(|(_, addresses)| !addresses.is_empty()).collect(),
            tls: tls(&tree)?,
            log: tree.section("log")?,
            process,
            tree,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Whether the mailbox page is open. It shows every mail, PINs and tickets among them, to
    /// whoever asks: only in a demo, and only on this machine.
    #[must_use]
    pub fn has_mailbox(&self) -> bool {
        let host = self.process.host.parse::<IpAddr>();
        self.process.demo
            && host.map_or(self.process.host == "localhost", |address| address.is_loopback())
    }

    /// The services of this process, each after those that it calls.
    ///
    /// # Errors
    /// If a name is no service's.
    pub fn roles(&self) -> Result<Vec<Role>, ConfigError> {
        if self.process.roles.is_empty() {
            return Ok(ROLES.to_vec());
        }
        let known = |name: &str| name == SANDBOX || topology::find(name).is_some();
        if let Some(name) = self.process.roles.iter().find(|name| !known(name)) {
            let names: Vec<_> = ROLES.iter().map(|role| role.name).chain([SANDBOX]).collect();
            let detail = format!("no service is called {name:?}; there are {}", names.join(", "));
            return Err(wrong("boxoffice.roles", detail));
        }
        Ok(ROLES.into_iter().filter(|role| self.names(role.name)).collect())
    }

    fn names(&self, service: &str) -> bool {
        self.process.roles.iter().any(|name| name == service)
    }

    /// Whether the Stripe sandbox runs in this process: beside all ten services, or where it is
    /// named.
    #[must_use]
    pub fn runs_sandbox(&self) -> bool {
        self.names(SANDBOX) || (self.process.sandbox && self.process.roles.is_empty())
    }

    /// Whether anything of this process is kept in its state directory.
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        self.keeps_parts() || self.runs_sandbox()
    }

    /// Whether databases, parts or the secret of its services are kept there.
    pub(crate) fn keeps_parts(&self) -> bool {
        let process = &self.process;
        let files = process.database == "sqlite:" && !matches!(self.roles().as_deref(), Ok([]));
        let memory = [&process.kv, &process.bus].into_iter().any(|url| url == MEMORY);
        files || memory || process.secret.is_empty()
    }

    /// The addresses of the Kafka brokers; none where the event log is in this process.
    #[must_use]
    pub fn brokers(&self) -> Option<&str> {
        self.process.bus.strip_prefix(KAFKA)
    }

    /// What can be told to be wrong before anything starts.
    fn check(&self) -> Result<(), ConfigError> {
        let roles = self.roles()?;
        let process = &self.process;
        check_server("boxoffice.database", &process.database, process.database == "sqlite:")?;
        check_server("boxoffice.replica", &process.replica, process.replica.is_empty())?;
        if !process.replica.is_empty() && process.database == "sqlite:" {
            return Err(wrong("boxoffice.replica", "is for a PostgreSQL boxoffice.database"));
        }
        check_part("boxoffice.kv", &process.kv, &["redis://", "redis+unix://"])?;
        check_part("boxoffice.bus", &process.bus, &[KAFKA])?;
        if process.database_connections == 0 {
            return Err(wrong("boxoffice.database_connections", "must be at least 1"));
        }
        if !(1..=1_000).contains(&process.bus_partitions) {
            return Err(wrong("boxoffice.bus_partitions", "must be from 1 to 1000"));
        }
        if !(1..=100).contains(&process.bus_replication) {
            return Err(wrong("boxoffice.bus_replication", "must be from 1 to 100"));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if process.namespace.len() > 64 || !process.namespace.chars().all(is_word) {
            let detail = "may have up to 64 letters, digits, '-', '_' and '.'";
            return Err(wrong("boxoffice.namespace", detail));
        }
        let secret_is_hex = process.secret.chars().all(|c| c.is_ascii_hexdigit());
        if !process.secret.is_empty() && (process.secret.len() < 64 || !secret_is_hex) {
            return Err(wrong("boxoffice.secret", "must be at least 64 hex digits"));
        }
        if roles.len() < ROLES.len() { self.check_shared(&roles) } else { Ok(()) }
    }

    /// What a process with only some of the services needs from outside.
    fn check_shared(&self, roles: &[Role]) -> Result<(), ConfigError> {
        let process = &self.process;
        if roles.is_empty() {
            return Ok(());
        }
        for (key, url) in [("boxoffice.kv", &process.kv), ("boxoffice.bus", &process.bus)] {
            if url == MEMORY {
                let detail = "\"memory:\" is for a process that runs all services";
                return Err(wrong(key, detail));
            }
        }
        if process.secret.is_empty() {
            let detail = "must be set, the same in every process, where services run apart";
            return Err(wrong("boxoffice.secret", detail));
        }
        for role in roles {
            let calls = topology::CALLS.iter().filter(|(from, _)| *from == role.name);
            for to in calls.flat_map(|(_, to)| *to) {
                let here = roles.iter().any(|role| role.name == *to);
                if !here && !self.remotes.contains_key(*to) {
                    let detail = format!("{} calls it, and it does not run here", role.name);
                    return Err(wrong(&format!("remotes.{to}"), detail));
                }
            }
        }
        Ok(())
    }
}

/// The PEM files, if they are filled in.
fn tls(tree: &Tree) -> Result<Option<TlsFiles>, ConfigError> {
    const NEEDED: &str = "all three files are needed, or none";
    let files: TlsFiles = tree.section("tls")?;
    let empty = [&files.ca, &files.certificate, &files.key].map(|path| path.as_os_str().is_empty());
    match empty {
        [true, true, true] => Ok(None),
        [false, false, false] => Ok(Some(files)),
        [true, _, _] => Err(wrong("tls.ca", NEEDED)),
        [_, true, _] => Err(wrong("tls.certificate", NEEDED)),
        [_, _, true] => Err(wrong("tls.key", NEEDED)),
    }
}

fn check_part(key: &str, url: &str, schemes: &[&str]) -> Result<(), ConfigError> {
    let good = |scheme: &&str| url.strip_prefix(*scheme).is_some_and(|rest| !rest.is_empty());
    if url == MEMORY || schemes.iter().any(good) {
        return Ok(());
    }
    // The URL may hold a password, so it is not shown.
    Err(wrong(key, format!("must be \"memory:\" or begin {}", schemes.join(" or "))))
}

/// Each service has a database of its own, so the server's URL names none.
fn check_server(key: &str, url: &str, is_none: bool) -> Result<(), ConfigError> {
    let server = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let server = server.map(|server| server.split_once('?').map_or(server, |(server, _)| server));
    match server {
        _ if is_none => Ok(()),
        Some(server) if server.trim_end_matches('/').contains('/') => {
            Err(wrong(key, "must name no database: each service has one of its own"))
        }
        Some(server) if !server.is_empty() => Ok(()),
        _ if key == "boxoffice.replica" => Err(wrong(key, "must be empty or begin postgres://")),
        _ => Err(wrong(key, "must be \"sqlite:\" or begin postgres://")),
    }
}

/// The URL of the database called `name` on the server at `server`, parameters kept.
pub(crate) fn on_server(server: &str, name: &str) -> String {
    match server.split_once('?') {
        Some((server, parameters)) => {
            format!("{}/{name}?{parameters}", server.trim_end_matches('/'))
        }
        None => format!("{}/{name}", server.trim_end_matches('/')),
    }
}

fn wrong(key: &str, detail: impl Into<String>) -> ConfigError {
    ConfigError::Key { key: key.to_owned(), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(values: &[(&str, &str)]) -> Result<Settings, String> {
        let values = values.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let sources = Sources { values: values.collect(), ..Sources::default() };
        Settings::load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn the_database_is_files_or_a_server_and_never_one_database() {
        let check = |url: &str| load(&[("boxoffice.database", url)]);
        let server = "postgres://me:pw@db.example:5432";
        let with_parameters = format!("{server}/?sslmode=verify-full");
        for good in ["sqlite:", server, "postgresql://h", "postgres://h/", &with_parameters] {
            assert!(check(good).is_ok(), "{good}");
        }
        let named = format!("{server}/boxoffice");
        for bad in ["", "sqlite:/x", "mysql://h", "postgres://", "postgres:h", &named] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert_eq!(on_server("postgres://h/", "a"), "postgres://h/a");
        assert_eq!(
            on_server("postgres://h?sslmode=require", "a"),
            "postgres://h/a?sslmode=require"
        );
        let replica = [("boxoffice.replica", "postgres://replica")];
        assert!(load(&replica).unwrap_err().contains("boxoffice.replica"), "of what?");
        assert!(load(&[replica[0], ("boxoffice.database", server)]).is_ok());
    }

    #[test]
    fn servers_are_reached_by_the_network_or_by_their_sockets() {
        for good in ["memory:", "redis://kv:6379/0", "redis+unix:///run/redis.sock"] {
            assert!(load(&[("boxoffice.kv", good)]).is_ok(), "{good}");
        }
        for bad in ["", "redis:", "redis+unix://", "unix:///run/redis.sock"] {
            assert!(load(&[("boxoffice.kv", bad)]).unwrap_err().contains("boxoffice.kv"), "{bad}");
        }
        assert!(load(&[("boxoffice.database", "postgres://me@%2Frun%2Fpostgresql")]).is_ok());
    }

    #[test]
    fn services_that_run_apart_need_what_processes_share() {
        let secret = "ab".repeat(32);
        let mut values = vec![
            ("boxoffice.roles", "[\"booking\", \"ticket\"]"),
            ("boxoffice.kv", "redis://127.0.0.1:6379"),
            ("boxoffice.bus", "kafka://127.0.0.1:9092"),
            ("boxoffice.secret", &*secret),
            ("remotes.auth", "[\"http://127.0.0.1:1\"]"),
            ("remotes.event", "[\"http://127.0.0.1:2\"]"),
            ("remotes.payment", "[\"http://127.0.0.1:3\"]"),
        ];
        let settings = load(&values).unwrap();
        assert_eq!(settings.brokers(), Some("127.0.0.1:9092"));
        assert!(!settings.runs_sandbox(), "where it is not named");
        for at in 1..values.len() {
            let (key, _) = values[at];
            let rest: Vec<_> = values.iter().copied().filter(|(its, _)| *its != key).collect();
            let refused = load(&rest).unwrap_err();
            assert!(refused.contains(key), "{key}: {refused}");
        }
        values[0] = ("boxoffice.roles", "[\"stripe-sandbox\"]");
        let sandbox = load(&values[..1]).unwrap();
        assert!(sandbox.runs_sandbox() && sandbox.roles().unwrap().is_empty());
        assert!(load(&[("tls.ca", "ca.pem")]).unwrap_err().contains("tls.certificate"));
    }

    #[test]
    fn the_mailbox_is_open_only_in_a_demo_on_this_machine() {
        let open = |values: &[(&str, &str)]| load(values).unwrap().has_mailbox();
        assert!(open(&[]));
        for host in ["127.0.0.2", "::1", "localhost"] {
            assert!(open(&[("boxoffice.host", host)]), "{host}");
        }
        for host in ["0.0.0.0", "::", "192.0.2.1", "tickets.example"] {
            assert!(!open(&[("boxoffice.host", host)]), "{host}");
        }
        assert!(!open(&[("boxoffice.demo", "false")]));
    }
}
