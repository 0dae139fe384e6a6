//! Who may speak on the mesh's sockets: mutual TLS, with certificates of one authority on both
//! sides. Nothing here depends on a process-wide default.

use std::{fmt, sync::Arc, time::Duration};

use kernel::{Clock, Secret};
use rustls::{
    CertificateError, ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    time_provider::TimeProvider,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::MeshError;

/// The only protocol on these sockets.
const HTTP2: &[u8] = b"h2";

/// What a process shows to others, and whom it accepts. All texts are PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority (or several) that has signed everybody's certificate.
    pub ca: Vec<u8>,
    /// This process's certificate, followed by those between it and the authority. It is shown to
    /// clients and to servers, so it must be good for both, and name this process's hosts.
    pub certificate: Vec<u8>,
    /// The certificate's private key.
    pub key: Secret<Vec<u8>>,
}

/// Both sides of a connection, ready for use.
pub(crate) struct Identity {
    pub(crate) server: TlsAcceptor,
    pub(crate) client: TlsConnector,
}

impl Identity {
    /// Reads `tls`, and sees that others will accept it now.
    ///
    /// # Errors
    /// If a part can't be read, the parts don't belong together, or the certificate has expired.
    pub(crate) fn new(tls: &Tls, clock: Arc<dyn Clock>) -> Result<Self, MeshError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let time = Arc::new(Time(clock));
        let roots = Arc::new(roots(&tls.ca)?);
        let chain = certificates("certificate", &tls.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(tls.key.expose());
        let key = key.map_err(|error| unsound("key", reason(&error)))?;
        check(&chain, &roots, &provider, time.now())?;

        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let clients = clients.map_err(|error| unsound("ca", error))?;
        let server = ServerConfig::builder_with_details(provider.clone(), time.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unsound("certificate", error))?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key());
        let mut server = server.map_err(|error| unsound("key", error))?;
        server.alpn_protocols = vec![HTTP2.to_vec()];
        // A resumed session would not look at the certificate again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let client = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .map_err(|error| unsound("certificate", error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key);
        let mut client = client.map_err(|error| unsound("key", error))?;
        client.alpn_protocols = vec![HTTP2.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(Self { server: Arc::new(server).into(), client: Arc::new(client).into() })
    }
}

fn unsound(part: &'static str, detail: impl fmt::Display) -> MeshError {
    MeshError::BadTls { part, detail: detail.to_string() }
}

fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "is not in PEM, or not what it should be".to_owned(),
        error => error.to_string(),
    }
}

fn certificates(
    part: &'static str,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, MeshError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(unsound(part, reason(&pem::Error::NoItemsFound))),
        Ok(all) => Ok(all),
        Err(error) => Err(unsound(part, reason(&error))),
    }
}

fn roots(text: &[u8]) -> Result<RootCertStore, MeshError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", text)? {
        roots.add(certificate).map_err(|error| unsound("ca", error))?;
    }
    Ok(roots)
}

/// Looks at our own certificate as our peers will, so that what they would refuse is an error at
/// the start. The name is theirs to check: they know by which one they called.
fn check(
    chain: &[CertificateDer<'static>],
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    now: UnixTime,
) -> Result<(), MeshError> {
    let Some((own, between)) = chain.split_first() else {
        return Err(unsound("certificate", "is missing"));
    };
    let refused = |error: rustls::Error| match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            unsound("certificate", "is not signed by the ca")
        }
        error => unsound("certificate", error),
    };
    let (roots, provider) = (roots.clone(), provider.clone());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let clients = clients.build().map_err(|error| unsound("ca", error))?;
    clients.verify_client_cert(own, between, now).map_err(refused)?;

    let servers = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    let servers = servers.map_err(|error| unsound("ca", error))?;
    let any_name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    match servers.verify_server_cert(own, between, &any_name, &[], now) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

/// The platform's clock, for the dates of certificates.
struct Time(Arc<dyn Clock>);

impl Time {
    fn now(&self) -> UnixTime {
        let seconds = u64::try_from(self.0.now().seconds()).unwrap_or_default();
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}
