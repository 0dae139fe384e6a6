//! Settings: one typed tree from the defaults in the crates, `boxoffice.toml`, `BOXOFFICE__…`
//! variables and flags.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use platform::config::{ConfigError, Tree};
use serde::Deserialize;

use crate::topology::{self, ROLES, Role};

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
    /// `memory:`.
    pub kv: String,
    /// `memory:`.
    pub bus: String,
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
pub const SECTIONS: [(&str, &str); 15] = [
    ("boxoffice", include_str!("../config.toml")),
    ("listen", include_str!("../listen.toml")),
    ("remotes", include_str!("../remotes.toml")),
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
        if let Some(name) = self.process.roles.iter().find(|name| topology::find(name).is_none()) {
            let known: Vec<_> = ROLES.iter().map(|role| role.name).collect();
            let detail = format!("no service is called {name:?}; there are {}", known.join(", "));
            return Err(wrong("boxoffice.roles", detail));
        }
        let wanted = |role: &Role| self.process.roles.iter().any(|name| name == role.name);
        Ok(ROLES.into_iter().filter(wanted).collect())
    }

    /// What can be told to be wrong before anything starts.
    fn check(&self) -> Result<(), ConfigError> {
        let roles = self.roles()?;
        let process = &self.process;
        check_database(&process.database)?;
        let parts = [("boxoffice.kv", &process.kv), ("boxoffice.bus", &process.bus)];
        for (key, url) in parts {
            if url != "memory:" {
                return Err(wrong(key, format!("{url:?} is not supported; use \"memory:\"")));
            }
            if roles.len() < ROLES.len() {
                let detail = "\"memory:\" is for a process that runs all services";
                return Err(wrong(key, detail));
            }
        }
        let secret_is_hex = process.secret.chars().all(|c| c.is_ascii_hexdigit());
        if !process.secret.is_empty() && (process.secret.len() < 64 || !secret_is_hex) {
            return Err(wrong("boxoffice.secret", "must be at least 64 hex digits"));
        }
        Ok(())
    }
}

/// Each service has a database of its own, so the server's URL names none.
fn check_database(url: &str) -> Result<(), ConfigError> {
    let key = "boxoffice.database";
    let server = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    match server {
        _ if url == "sqlite:" => Ok(()),
        Some(server) if server.trim_end_matches('/').contains('/') => {
            Err(wrong(key, "must name no database: each service has one of its own"))
        }
        Some(server) if !server.is_empty() => Ok(()),
        _ => Err(wrong(key, "must be \"sqlite:\" or begin postgres://")),
    }
}

fn wrong(key: &str, detail: impl Into<String>) -> ConfigError {
    ConfigError::Key { key: key.to_owned(), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_files_or_a_server_and_never_one_database() {
        let server = "postgres://me:pw@db.example:5432";
        for good in ["sqlite:", server, "postgresql://h", "postgres://h/"] {
            assert!(check_database(good).is_ok(), "{good}");
        }
        let named = format!("{server}/boxoffice");
        for bad in ["", "sqlite:/x", "mysql://h", "postgres://", "postgres:h", &named] {
            assert!(check_database(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_mailbox_is_open_only_in_a_demo_on_this_machine() {
        let open = |values: &[(&str, &str)]| {
            let values = values.iter().map(|(key, value)| ((*key).into(), (*value).into()));
            let sources = Sources { values: values.collect(), ..Sources::default() };
            Settings::load(&sources).unwrap().has_mailbox()
        };
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
