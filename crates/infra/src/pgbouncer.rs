//! PgBouncer in transaction mode: every transaction may meet another connection.

use std::ops::Deref;

use crate::{
    Failure, Keep, Kind, Postgres, Server,
    install::{find, find_or_install},
};

/// A running PgBouncer.
#[derive(Debug)]
pub struct PgBouncer(Server);

impl Deref for PgBouncer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl PgBouncer {
    /// Starts one before `upstream`, for as long as this value lives.
    ///
    /// # Errors
    /// Why there is none, and how to get it if it is missing.
    pub fn start(upstream: &Postgres) -> Result<Self, Failure> {
        let what = ("PgBouncer", ["pgbouncer"]);
        let program = find_or_install(what.0, &what.1, || find("pgbouncer"))?;
        let mut server = Server::new(Kind::PgBouncer, &Keep::WhileOwned)?;
        server.write("users.txt", "\"postgres\" \"\"\n")?;
        server.start(|server| {
            let settings = format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {}\nunix_socket_dir =\nauth_type = trust\nauth_file = users.txt\n\
                 pool_mode = transaction\nmax_client_conn = 1000\ndefault_pool_size = 20\n",
                upstream.port(),
                server.port(),
            );
            server.write("pgbouncer.ini", &settings)?;
            Ok(format!("exec '{}' pgbouncer.ini", program.display()))
        })?;
        Ok(Self(server))
    }

    /// The url of the maintenance database behind it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/postgres", self.server_url())
    }

    /// Its url without a database.
    #[must_use]
    pub fn server_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port())
    }
}
