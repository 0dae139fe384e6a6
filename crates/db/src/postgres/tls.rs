//! What `sslmode` asks for, and the TLS that keeps it. Never trusts more than it was told to.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// What is checked of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    /// That one of the roots signed it.
    Issuer,
    IssuerAndName,
}

/// How to connect under `sslmode`, with the roots in `ca_file`.
pub(super) async fn connector(
    mode: Option<&str>,
    ca_file: Option<&Path>,
) -> Result<(SslMode, MakeRustlsConnect), Error> {
    let (mode, check) = understand(mode, ca_file.is_some())?;
    let roots = match ca_file {
        Some(path) => roots(path).await?,
        None => RootCertStore::empty(),
    };
    let provider = aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    let config = match check {
        Check::IssuerAndName => builder.with_root_certificates(roots).with_no_client_auth(),
        Check::Issuer | Check::Nothing => {
            let roots = (check == Check::Issuer).then_some(roots);
            let verifier = Arc::new(Lenient { roots, algorithms });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    Ok((mode, MakeRustlsConnect::new(config)))
}

/// As libpq does, but that roots which were given are always used: silence means `verify-full`
/// then, and `prefer` without.
fn understand(mode: Option<&str>, has_roots: bool) -> Result<(SslMode, Check), Error> {
    let by_issuer = if has_roots { Check::Issuer } else { Check::Nothing };
    Ok(match (mode, has_roots) {
        (Some("disable"), _) => (SslMode::Disable, Check::Nothing),
        (Some("allow" | "prefer"), _) | (None, false) => (SslMode::Prefer, by_issuer),
        (Some("require"), _) => (SslMode::Require, by_issuer),
        (Some("verify-ca"), true) => (SslMode::Require, Check::Issuer),
        (Some("verify-full"), true) | (None, true) => (SslMode::Require, Check::IssuerAndName),
        (Some(word @ ("verify-ca" | "verify-full")), false) => {
            return Err(Error::Unavailable(format!("sslmode={word} needs a file of roots")));
        }
        (Some(_), _) => {
            let words = "disable, allow, prefer, require, verify-ca, verify-full";
            return Err(Error::Unavailable(format!("the url's sslmode is none of {words}")));
        }
    })
}

async fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let wrong = |detail: &dyn ToString| {
        Error::Unavailable(format!("roots in {}: {}", path.display(), detail.to_string()))
    };
    let pem = tokio::fs::read(path).await.map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"no certificate in it"));
    }
    Ok(roots)
}

/// Does not look at the name, and at the issuer only where roots are given. Whoever answers must
/// hold the certificate's key all the same.
#[derive(Debug)]
struct Lenient {
    roots: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_were_given_are_used_and_missing_ones_missed() {
        assert_eq!(understand(None, false).unwrap(), (SslMode::Prefer, Check::Nothing));
        assert_eq!(understand(None, true).unwrap(), (SslMode::Require, Check::IssuerAndName));
        assert_eq!(understand(Some("require"), true).unwrap(), (SslMode::Require, Check::Issuer));
        for word in ["verify-ca", "verify-full", "perhaps"] {
            assert!(matches!(understand(Some(word), false), Err(Error::Unavailable(_))), "{word}");
        }
    }
}
