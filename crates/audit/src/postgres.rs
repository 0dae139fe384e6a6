//! Reads PostgreSQL: each database in one snapshot, row by row.

use std::{path::Path, pin::pin, sync::Arc};

use futures_util::TryStreamExt;
use rusqlite::types::Value;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio_postgres::{
    Client, NoTls,
    types::{FromSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    Error, Server,
    facts::{Depth, Engine, Fact},
    notes::Notes,
};

/// One moment for all that is read; tables are read from end to end, however long that takes.
const BEGIN: &str = "begin isolation level repeatable read read only;
    set local statement_timeout = 0; set local enable_seqscan = on";
/// From 1970 to 2000, in microseconds: PostgreSQL counts from there.
const SINCE_1970: i64 = 946_684_800_000_000;

/// Takes over `facts` of the database called `origin`.
pub(crate) async fn take(
    server: &Server,
    (origin, facts): (&str, &[&Fact]),
    depth: Depth,
    notes: &Notes,
) -> Result<(), Error> {
    let wrong = |error: &dyn ToString| Error::store(origin, error.to_string());
    // The driver knows half of the words; what they ask to be checked is, wherever there are roots.
    let url = server.url.replace("sslmode=verify-full", "sslmode=require");
    let url = url.replace("sslmode=verify-ca", "sslmode=require");
    let config: tokio_postgres::Config = url.parse().map_err(|error| wrong(&error))?;
    let work = async |client: Client| copy(&client, (origin, facts), depth, notes).await;
    match &server.ca_file {
        None => {
            let (client, connection) = config
                .connect(NoTls)
                .await
                .map_err(|its| words(&its))
                .map_err(|its| wrong(&its))?;
            let (done, _ended) = tokio::join!(work(client), connection);
            done
        }
        Some(path) => {
            let tls = tls(path).map_err(|detail| wrong(&detail))?;
            let (client, connection) =
                config.connect(tls).await.map_err(|its| words(&its)).map_err(|its| wrong(&its))?;
            let (done, _ended) = tokio::join!(work(client), connection);
            done
        }
    }
}

/// TLS that trusts the roots in the file at `path`, and checks the server's name.
fn tls(path: &Path) -> Result<MakeRustlsConnect, String> {
    let wrong = |error: &dyn ToString| format!("{}: {}", path.display(), error.to_string());
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

async fn copy(
    client: &Client,
    (origin, facts): (&str, &[&Fact]),
    depth: Depth,
    notes: &Notes,
) -> Result<(), Error> {
    let wrong = |error: &tokio_postgres::Error| Error::store(origin, words(error));
    client.batch_execute(BEGIN).await.map_err(|error| wrong(&error))?;
    notes.run("begin")?;
    for fact in facts {
        let Some(select) = fact.statement(Engine::Postgres, depth, origin) else { continue };
        // Unnamed, so that a pooler need not keep it.
        let no_params = std::iter::empty::<(i64, Type)>();
        let rows = client.query_typed_raw(&select, no_params).await;
        let mut rows = pin!(rows.map_err(|error| wrong(&error))?);
        let mut cells = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|error| wrong(&error))? {
            cells.clear();
            for at in 0..row.len() {
                cells.push(row.try_get::<_, Cell>(at).map_err(|error| wrong(&error))?.0);
            }
            notes.add(fact.table, &cells)?;
        }
    }
    notes.run("commit")
}

/// An error with what the server said.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.to_string(),
        None => {
            let why =
                std::error::Error::source(error).map_or_else(String::new, |its| format!(": {its}"));
            format!("{error}{why}")
        }
    }
}

/// A value of any type that the statements answer.
struct Cell(Value);

type Wrong = Box<dyn std::error::Error + Sync + Send>;

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        Ok(Self(match *kind {
            Type::UUID => Value::Blob(raw.to_vec()),
            Type::BOOL => Value::Integer(i64::from(bool::from_sql(kind, raw)?)),
            Type::INT4 => Value::Integer(i64::from(i32::from_sql(kind, raw)?)),
            Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
            Type::TIMESTAMPTZ => {
                Value::Integer(i64::from_sql(&Type::INT8, raw)?.saturating_add(SINCE_1970))
            }
            _ => Value::Text(std::str::from_utf8(raw)?.to_owned()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Wrong> {
        Ok(Self(Value::Null))
    }

    fn accepts(kind: &Type) -> bool {
        [Type::UUID, Type::BOOL, Type::INT4, Type::INT8, Type::TIMESTAMPTZ, Type::TEXT]
            .contains(kind)
    }
}
