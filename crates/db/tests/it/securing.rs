//! TLS to PostgreSQL: what each `sslmode` accepts of a server, and that no error tells a password.

use std::{fs, path::PathBuf};

use db::{Db, Error, Settings};
use infra::{Postgres, PostgresOptions, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::transactions::count;

const ENCRYPTED: &str = "select count(*) from pg_stat_ssl where pid = pg_backend_pid() and ssl";

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(directory: &TempDir, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = directory.path().join(name);
        fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A certificate for `name`.
    fn issue(&self, name: &str) -> Tls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Tls { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// Whether the connection is encrypted, if it is made at all.
async fn connect(settings: &Settings) -> Result<bool, Error> {
    let db = Db::open(settings).await?;
    let encrypted = count(&db, ENCRYPTED).await == 1;
    db.close().await;
    Ok(encrypted)
}

#[tokio::test]
async fn each_sslmode_accepts_what_it_says_and_no_more() {
    let directory = TempDir::new().unwrap();
    let (ours, foreign) =
        (Authority::new(&directory, "ours.pem"), Authority::new(&directory, "foreign.pem"));
    let options = |tls| PostgresOptions { fsync: false, tls, ..PostgresOptions::default() };
    let secure = Postgres::start(&options(Some(ours.issue("localhost")))).unwrap();
    let plain = Postgres::start(&options(None)).unwrap();
    let (by_name, by_address) = (("localhost", &secure), ("127.0.0.1", &secure));
    let (ours, foreign) = (Some(&ours.file), Some(&foreign.file));
    let (encrypted, open, refused) = (Some(true), Some(false), None);
    for (mode, roots, (host, server), expected) in [
        ("", None, by_address, encrypted),
        ("", None, ("localhost", &plain), open),
        ("", ours, by_name, encrypted),
        ("", ours, by_address, refused),
        ("", ours, ("localhost", &plain), refused),
        ("disable", ours, by_name, open),
        ("prefer", foreign, by_name, refused),
        ("require", None, by_address, encrypted),
        ("require", foreign, by_name, refused),
        ("require", ours, by_address, encrypted),
        ("require", None, ("localhost", &plain), refused),
        ("verify-ca", None, by_name, refused),
        ("verify-ca", foreign, by_name, refused),
        ("verify-ca", ours, by_address, encrypted),
        ("verify-full", foreign, by_name, refused),
        ("verify-full", ours, by_address, refused),
        ("verify-full", ours, by_name, encrypted),
        ("sometimes", ours, by_name, refused),
    ] {
        let port = server.port();
        let query = if mode.is_empty() { String::new() } else { format!("?sslmode={mode}") };
        let url = format!("postgres://postgres:hunter2@{host}:{port}/postgres{query}");
        let settings = Settings { ca_file: roots.cloned(), ..Settings::new(url) };
        let connected = connect(&settings).await;
        let said = format!("{connected:?}");
        assert_eq!(connected.ok(), expected, "{mode} to {host}, roots {roots:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let url = "postgres://me:hunter2@localhost:never/postgres";
    let said = format!("{:?}", connect(&Settings::new(url)).await.unwrap_err());
    assert!(!said.contains("hunter2"), "{said}");
}
