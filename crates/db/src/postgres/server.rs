//! One PostgreSQL server: how it is reached, and how a transaction on it begins.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use kernel::Secret;
use tokio_postgres::{Config, error::SqlState, types::Type};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Mode, fault, tls};
use crate::{Error, Settings};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After how long a server that no longer answers the network counts as gone.
const DEAD_PEER_TIMEOUT: Duration = Duration::from_secs(30);
/// A body awaits nothing but its transaction, so this only ever ends a session whose process hangs.
const IDLE_IN_TRANSACTION_MS: u64 = 60_000;
/// How much longer than the server may take over a statement its answer is waited for.
const ANSWER_GRACE: Duration = Duration::from_secs(2);
const MAX_CREATE_TRIES: u32 = 20;
/// Plans are kept with their connection. One made while a table was small would read all of it ever
/// after, however large it has grown; so an index is used wherever there is one. Statements without
/// any then look expensive, and must not be compiled for that.
const PLANNING: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

/// A server's connections, and how they are used.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) pool: Pool,
    pub(super) session: Arc<Session>,
}

/// How a transaction begins and how its statements are sent.
pub(super) struct Session {
    /// Whether the next transaction may find another session at the same connection's end: nothing
    /// is prepared or set for longer than a transaction.
    pub(super) pooled: bool,
    pub(super) begin_write: String,
    begin_read: String,
    /// After how long without an answer the server counts as gone.
    pub(super) patience: Duration,
}

impl Session {
    /// `BEGIN`, and what must be set for each transaction; nothing for a single statement, unless
    /// something must be set.
    pub(super) fn begin(&self, mode: Mode) -> Option<&str> {
        match mode {
            Mode::Write => Some(&self.begin_write),
            Mode::Read => Some(&self.begin_read),
            Mode::Single => self.pooled.then_some(&self.begin_read),
        }
    }
}

/// Where a server is, read from a url.
pub(super) struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    session: Arc<Session>,
}

impl Address {
    pub(super) async fn read(url: &Secret<String>, settings: &Settings) -> Result<Self, Error> {
        let (plain, ssl_mode) = without(url.expose(), "sslmode"); // it knows half of the words
        let (ssl_mode, tls) = tls::connector(ssl_mode, settings.ca_file.as_deref()).await?;
        let mut config = parse(&plain)?;
        let options = config.get_options().unwrap_or_default().to_owned();
        if settings.transaction_pooling {
            config = parse(&without(&plain, "options").0)?; // a pooler refuses to begin with any
        }
        config.ssl_mode(ssl_mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(DEAD_PEER_TIMEOUT).keepalives_idle(DEAD_PEER_TIMEOUT);
        }
        let timeout = Duration::from_millis(settings.statement_timeout_ms);
        let mut set_up = String::new();
        if settings.transaction_pooling {
            set_up = set_locally(&options, settings);
        } else {
            let ours = ours(settings).map(|(name, value)| format!(" -c {name}={value}"));
            let all = options + &ours.collect::<String>();
            config.options(all.trim_start());
        }
        let session = Arc::new(Session {
            pooled: settings.transaction_pooling,
            begin_write: format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{set_up}"),
            begin_read: format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{set_up}"),
            patience: timeout + ANSWER_GRACE,
        });
        Ok(Self { config, tls, session })
    }

    /// At most `size` connections; `wait` is how long to wait for a free one, `create` for a new
    /// one.
    pub(super) fn server(
        &self,
        size: usize,
        wait: Duration,
        create: Duration,
    ) -> Result<Server, Error> {
        let manager = Manager::from_config(
            self.config.clone(),
            self.tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(size.max(1))
            .wait_timeout(Some(wait))
            .create_timeout(Some(create))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Server { pool, session: Arc::clone(&self.session) })
    }

    /// Creates the database, unless it is there. Two processes may try at once.
    pub(super) async fn create_database(&self) -> Result<(), Error> {
        let mut config = self.config.clone();
        let name = config.get_dbname().or_else(|| config.get_user()).unwrap_or_default().to_owned();
        config.dbname("postgres");
        let connected = config.connect(self.tls.clone()).await;
        let (client, connection) = connected.map_err(|error| fault::error(&error))?;
        let create = async move {
            let sql = "SELECT FROM pg_database WHERE datname = $1";
            let there = client.query_typed(sql, &[(&name, Type::TEXT)]).await;
            if !there.map_err(|error| fault::error(&error))?.is_empty() {
                return Ok(());
            }
            let statement = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
            for _ in 0..MAX_CREATE_TRIES {
                let Err(error) = client.batch_execute(&statement).await else { return Ok(()) };
                match error.code() {
                    // Somebody else was faster; the second is what a race in the catalog looks
                    // like.
                    Some(&SqlState::DUPLICATE_DATABASE | &SqlState::UNIQUE_VIOLATION) => {
                        return Ok(());
                    }
                    // Somebody else is copying the template right now.
                    Some(&SqlState::OBJECT_IN_USE) => {
                        tokio::time::sleep(CONNECT_TIMEOUT / 50).await;
                    }
                    _ => return Err(fault::error(&error)),
                }
            }
            Err(Error::Unavailable("the database can't be created: template in use".to_owned()))
        };
        // The connection ends when the client inside `create` is dropped.
        let (created, _ended) = futures_util::future::join(create, connection).await;
        created
    }
}

impl Server {
    pub(super) async fn connection(&self) -> Result<Object, Error> {
        self.pool.get().await.map_err(|error| fault::no_connection(&error))
    }
}

fn parse(url: &str) -> Result<Config, Error> {
    // The parser's own text may quote the password.
    let not_understood = "the postgres url can't be understood";
    url.parse().map_err(|_| Error::Unavailable(not_understood.to_owned()))
}

/// The url without its parameter `name`, and that parameter's value as it stands there.
fn without<'u>(url: &'u str, name: &str) -> (String, Option<&'u str>) {
    // What comes before the first `@` is a name and a password, which may hold anything.
    let host = url.find('@').unwrap_or(0);
    let Some(mark) = url.get(host..).and_then(|rest| rest.find('?')) else {
        return (url.to_owned(), None);
    };
    let (address, query) = url.split_at(host + mark);
    let named = |pair: &&'u str| pair.split_once('=').is_some_and(|(key, _)| key == name);
    let (taken, rest): (Vec<_>, Vec<_>) = query.trim_start_matches('?').split('&').partition(named);
    let value = taken.first().and_then(|pair| pair.split_once('=')).map(|(_, value)| value);
    let mark = if rest.is_empty() { "" } else { "?" };
    (format!("{address}{mark}{}", rest.join("&")), value)
}

/// What every session of ours is given.
fn ours(settings: &Settings) -> impl Iterator<Item = (&'static str, String)> {
    let timeouts = [
        ("statement_timeout", settings.statement_timeout_ms),
        ("lock_timeout", settings.lock_timeout_ms),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS),
    ];
    let timeouts = timeouts.into_iter().map(|(name, ms)| (name, ms.to_string()));
    timeouts.chain(PLANNING.map(|(name, value)| (name, value.to_owned())))
}

/// The same for one transaction, with the `-c name=value` of the url's options.
fn set_locally(options: &str, settings: &Settings) -> String {
    let ours = ours(settings).map(|(name, value)| format!("; SET LOCAL {name} = {value}"));
    let given = options.split_whitespace().filter_map(|word| {
        let word = word.trim_start_matches("--").trim_start_matches("-c");
        let (name, value) = word.split_once('=')?;
        let quoted = |text: &str| text.replace('\'', "''");
        Some(format!("; SELECT set_config('{}', '{}', true)", quoted(name), quoted(value)))
    });
    given.chain(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_taken_out_of_the_url_and_nothing_else() {
        let plain = "postgres://me:a?sslmode=b@host/db";
        assert_eq!(without(plain, "sslmode"), (plain.to_owned(), None), "that is a password");
        let full = "postgres://me@host/db?a=1&sslmode=verify-full&b=2";
        let rest = "postgres://me@host/db?a=1&b=2".to_owned();
        assert_eq!(without(full, "sslmode"), (rest, Some("verify-full")));
        let only = without("postgres://host/db?sslmode=disable", "sslmode");
        assert_eq!(only, ("postgres://host/db".to_owned(), Some("disable")));
    }

    #[test]
    fn options_of_the_url_are_set_for_each_transaction_behind_a_pooler() {
        let settings = Settings { lock_timeout_ms: 7, ..Settings::new("") };
        let all = set_locally("-c search_path=a,b --x.y=it's -cz=1", &settings);
        let expected = "; SELECT set_config('search_path', 'a,b', true)\
                        ; SELECT set_config('x.y', 'it''s', true)\
                        ; SELECT set_config('z', '1', true)\
                        ; SET LOCAL statement_timeout = 10000; SET LOCAL lock_timeout = 7;";
        assert!(all.starts_with(expected), "{all}");
    }
}
