//! The scenarios of the one-process shape on the distributed one, and what only that has: replicas
//! that tell each other, replicas that share work, and a doctor with something to look at.

mod realtime;
mod workers;

use boxoffice::demo::{Report, Stage, walk};

use crate::{
    fleet::{Fleet, Size},
    routes,
    sale::ROOMY,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_process_per_service_and_two_of_many_do_what_one_process_does() {
    let mut fleet = Fleet::start(Size::Two, ROOMY).await;
    let gateways = fleet.gateways();
    walk_through(&fleet, &gateways[0]).await;
    realtime::replicas_tell_each_other(&fleet).await;
    workers::nothing_is_handled_twice(&fleet).await;
    walk_through(&fleet, &gateways[1]).await;
    doctor(&fleet).await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_told_the_same_by_many_processes_that_speak_tls() {
    let mut fleet = Fleet::start_over_tls(Size::Two, &[ROOMY, &routes::VALUES].concat()).await;
    only_who_has_a_certificate_is_let_in(&fleet).await;
    let (gateways, passwords) = (fleet.gateways(), fleet.passwords().await);
    routes::are_the_same_at(&gateways[1], &passwords).await;
    fleet.stop().await;
}

/// Whoever reaches a service's port without a certificate gets no word out of it, in plain text or
/// over TLS.
async fn only_who_has_a_certificate_is_let_in(fleet: &Fleet) {
    let plain = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let tls = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    for service in ["auth", "ticket", "booking"] {
        for face in fleet.faces(service, "grpc") {
            assert!(plain.get(&face).send().await.is_err(), "{service} answers plain text");
            let face = face.replace("http://", "https://");
            assert!(tls.get(&face).send().await.is_err(), "{service} answers a stranger");
        }
    }
    assert_eq!(examined(fleet).await, (Some(0), Vec::new()));
}

/// The demo, as `boxoffice demo --against` walks it.
async fn walk_through(fleet: &Fleet, gateway: &str) {
    let stage = Stage::against(gateway).await.unwrap_or_else(|error| panic!("{error}"));
    let walked = walk(&stage, &mut Report::new(true)).await;
    walked.unwrap_or_else(|error| panic!("{gateway}: {error}; {}", fleet.logs()));
}

/// What the doctor says: its exit code, and its lines that begin with `FAIL`.
async fn examined(fleet: &Fleet) -> (Option<i32>, Vec<String>) {
    let output = fleet.run(&["doctor"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let fails = text.lines().filter(|line| line.starts_with("FAIL")).map(ToOwned::to_owned);
    (output.status.code(), fails.collect())
}

/// A healthy deployment, one without Redis, and one with a database that lacks its newest tables.
async fn doctor(fleet: &Fleet) {
    assert_eq!(examined(fleet).await, (Some(0), Vec::new()));

    fleet.with_parts(|parts| parts.redis.stop()).await;
    let (code, fails) = examined(fleet).await;
    assert_eq!(code, Some(1));
    assert!(matches!(&fails[..], [fail] if fail.contains("key-value")), "{fails:?}");
    let checked = fleet.run(&["check-config"]).await;
    assert!(checked.status.success(), "the configuration is as right as before: {checked:?}");
    fleet.with_parts(|parts| parts.redis.start_again()).await;

    fleet.with_parts(|parts| parts.replica.stop()).await;
    let (code, fails) = examined(fleet).await;
    assert_eq!(code, Some(1));
    assert!(fails.iter().all(|fail| fail.contains("replica")) && !fails.is_empty(), "{fails:?}");
    fleet.with_parts(|parts| parts.replica.start_again()).await;

    let undone = "delete from boxoffice_migrations where owner = 'payment'";
    fleet.change("payment_db", undone).await;
    let (code, fails) = examined(fleet).await;
    assert_eq!(code, Some(1));
    assert!(matches!(&fails[..], [fail] if fail.contains("payment/")), "{fails:?}");
}
