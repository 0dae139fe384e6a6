//! Who gets in where certificates are asked for.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kernel::{Clock, Secret, Timestamp};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use wire::{Mesh, MeshError, MeshSettings, Tls};

use crate::{
    authority::Authority,
    world::{SOON, Script, get, listener, mesh, routes, secured, settings},
};

/// Before the certificates that end with 2020 do.
struct In2019;

impl Clock for In2019 {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_560_000_000)
    }
}

struct Served {
    script: Arc<Script>,
    address: SocketAddr,
    home: Mesh,
    _servers: JoinSet<()>,
}

async fn served(tls: Tls) -> Served {
    let (script, home) = (Arc::new(Script::default()), mesh(secured(&[], tls)));
    let routes = home.fill("user", routes(&script)).unwrap();
    let (listener, address) = listener().await;
    let mut servers = JoinSet::new();
    let serving = home.serve(listener, routes, CancellationToken::new());
    servers.spawn(async move { serving.await.unwrap() });
    Served { script, address, home, _servers: servers }
}

/// Why a call to `address` with these settings is lost.
async fn loss(settings: MeshSettings) -> String {
    let wire = mesh(settings).wire("booking", "user").unwrap();
    let answer = timeout(SOON, get(wire, "hello")).await.expect("it doesn't hang");
    let status = answer.expect_err("it is refused");
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    status.message().to_owned()
}

#[tokio::test]
async fn only_certificates_of_the_same_authority_are_accepted_on_both_sides() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let Served { script, address, home: _home, _servers } = served(ours.issue()).await;
    let good = mesh(secured(&[address], ours.issue())).wire("booking", "user").unwrap();
    get(good, "hello").await.expect("one of us");
    assert_eq!(script.calls.swap(0, std::sync::atomic::Ordering::SeqCst), 1);

    let stranger = loss(secured(&[address], theirs.issue())).await;
    assert!(stranger.contains("UnknownIssuer"), "they don't know us: {stranger}");
    let foreign = Tls { ca: [ours.pem(), theirs.pem()].concat(), ..theirs.issue() };
    let foreign = loss(secured(&[address], foreign)).await;
    assert!(foreign.contains("tls: received fatal alert"), "we don't know them: {foreign}");
    let expired = secured(&[address], ours.issue_for("localhost", 2020));
    let expired = loss(MeshSettings { clock: Arc::new(In2019), ..expired }).await;
    assert!(expired.contains("CertificateExpired"), "{expired}");

    let Served { address: elsewhere, _servers, .. } =
        served(ours.issue_for("other.example", 4096)).await;
    let misnamed = loss(secured(&[elsewhere], ours.issue())).await;
    assert!(misnamed.contains("not valid for name"), "{misnamed}");
    assert_eq!(script.calls.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody got through");
}

#[tokio::test]
async fn who_shows_no_certificate_is_not_connected() {
    let ours = Authority::new("ours");
    let Served { address, _servers, .. } = served(ours.issue()).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ours.pem()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let answer = timeout(SOON, tls.read(&mut [0; 64])).await.expect("it is told");
    let error = answer.expect_err("no byte of an answer").to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn who_speaks_no_tls_is_cut() {
    let Served { address, _servers, .. } = served(Authority::new("ours").issue()).await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(SOON / 2, plain.read_to_end(&mut answer)).await;
    read.expect("it doesn't hang").unwrap();
    assert!(answer.len() < 16, "an alert at most: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_cut_after_ten_seconds_and_delays_nobody() {
    let (ours, plain) = (Authority::new("ours"), mesh(settings(&[])));
    let Served { address, _servers, .. } = served(ours.issue()).await;
    let (listener, plainly) = listener().await;
    let serving = plain.serve(listener, axum::Router::new(), CancellationToken::new());
    let mut servers = JoinSet::new();
    servers.spawn(async move { serving.await.unwrap() });
    for address in [address, plainly] {
        let started = tokio::time::Instant::now();
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(SOON * 2, silent.read_to_end(&mut answer)).await;
        read.expect("it is cut").unwrap();
        let after = started.elapsed();
        assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&after), "{after:?}");
    }
    tokio::time::resume();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let wire = mesh(secured(&[address], ours.issue())).wire("booking", "user").unwrap();
    timeout(SOON / 2, get(wire, "hello")).await.expect("at once").unwrap();
}

#[tokio::test]
async fn new_certificates_are_taken_up_without_a_restart() {
    let (old, new) = (Authority::new("ours"), Authority::new("theirs"));
    let Served { address, home, _servers, .. } = served(old.issue()).await;
    let waiting = mesh(secured(&[address], new.issue())).wire("booking", "user").unwrap();
    get(waiting.clone(), "hello").await.expect_err("not yet");
    home.reload_tls(&new.issue_for("localhost", 2020)).expect_err("expired");
    get(waiting.clone(), "hello").await.expect_err("still the old ones");
    home.reload_tls(&new.issue()).unwrap();
    get(waiting, "hello").await.expect("now");

    let client = mesh(secured(&[address], old.issue()));
    let wire = client.wire("booking", "user").unwrap();
    get(wire.clone(), "hello").await.expect_err("it has missed it");
    client.reload_tls(&new.issue()).unwrap();
    get(wire, "hello").await.expect("now");
    let refused = mesh(settings(&[])).reload_tls(&new.issue());
    assert!(matches!(refused, Err(MeshError::BadTls { .. })), "there is nothing to reload");
}

#[test]
fn what_others_would_refuse_is_an_error_at_the_start() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = || ours.issue();
    let text = |text: &str| text.as_bytes().to_vec();
    let cut = || good().certificate[..200].to_vec();
    let cases = [
        ("ca", Tls { ca: Vec::new(), ..good() }),
        ("ca", Tls { ca: good().key.expose().clone(), ..good() }),
        ("certificate", Tls { certificate: text("-----BEGIN"), ..good() }),
        ("certificate", Tls { certificate: cut(), ..good() }),
        ("certificate", Tls { ca: theirs.pem(), ..good() }),
        ("certificate", ours.issue_for("localhost", 2020)),
        ("key", Tls { key: Secret::new(text("swordfish")), ..good() }),
        ("key", Tls { key: theirs.issue().key, ..good() }),
    ];
    for (wrong, tls) in cases {
        let refused = Mesh::new(secured(&[], tls)).err();
        let Some(MeshError::BadTls { part, ref detail }) = refused else {
            panic!("{wrong}: {refused:?}");
        };
        assert_eq!(part, wrong, "{detail}");
        assert!(!detail.contains("swordfish"), "{detail}");
    }
    let expired = Mesh::new(secured(&[], ours.issue_for("localhost", 2020))).err().unwrap();
    assert!(expired.to_string().contains("expired"), "{expired}");

    for (tls, address) in [(None, "https://127.0.0.1:1"), (Some(good()), "http://127.0.0.1:1")] {
        let remotes = [("user".to_owned(), vec![address.to_owned()])].into();
        let refused = Mesh::new(MeshSettings { remotes, tls, ..settings(&[]) }).err();
        assert!(matches!(refused, Some(MeshError::BadAddress { .. })), "{address}: {refused:?}");
    }
}
