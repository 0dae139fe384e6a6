//! Several processes that answer for one service: who is asked, and what callers notice of those
//! that die, hang, or leave.

use std::{net::SocketAddr, sync::atomic::Ordering::SeqCst, time::Duration};

use kernel::Failure;
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::{Context, Mesh, MeshSettings, Wire};

use crate::{
    process::Process,
    world::{SOON, World, get, listener, mesh, settings, update},
};

/// A replica that hangs is noticed within so long.
const NOTICED: Duration = Duration::from_millis(5_500);
const _: () = assert!(NOTICED.as_millis() < SOON.as_millis());

/// A client of the user service at `addresses`, and its watch if there is to be one.
fn client(addresses: &[SocketAddr], watch: bool) -> (Mesh, Wire, JoinSet<()>) {
    let mesh = mesh(settings(addresses));
    let wire = mesh.wire("booking", "user").unwrap();
    let mut watching = JoinSet::new();
    if watch {
        watching.spawn(mesh.watch(CancellationToken::new()));
    }
    (mesh, wire, watching)
}

fn metrics(mesh: &Mesh) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    mesh.register(&mut registry);
    encode(&mut text, &registry).unwrap();
    text
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let held = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, held).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_replica_killed_under_load_costs_no_call_that_may_be_repeated() {
    let (mut first, second) = (Process::start(), Process::start());
    let (mesh, wire, _watching) = client(&[first.address, second.address], true);
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let wire = wire.clone();
        load.spawn(async move {
            for call in 0..100 {
                get(wire.clone(), "hello").await.unwrap_or_else(|lost| panic!("{call}: {lost:?}"));
            }
        });
    }
    until("both are used", async || {
        first.script.calls.load(SeqCst) > 20 && second.script.calls.load(SeqCst) > 20
    })
    .await;
    first.kill();
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
    assert!(first.arrived() + second.arrived() >= 800, "all were answered by somebody");
    assert!(metrics(&mesh).contains("grpc_client_retries_total{"), "not without another attempt");

    let address = first.address;
    let again = Process::start_at(address);
    until("it is used again", async || {
        get(wire.clone(), "hello").await.unwrap();
        again.arrived() > 0
    })
    .await;
}

#[tokio::test]
async fn who_has_no_room_leaves_the_call_to_another() {
    let (first, second) = (Process::start(), Process::start());
    let (_mesh, wire, _) = client(&[first.address, second.address], false);
    *first.script.failure.lock().unwrap() = Some(Failure::overloaded("no room"));
    first.script.flaws.store(u32::MAX, SeqCst);
    for _ in 0..20 {
        get(wire.clone(), "flaky").await.expect("the other has room");
    }
    assert!(first.arrived() >= 9, "it is asked in its turn, and no breaker opens");
    assert_eq!(second.arrived(), 20);
}

#[tokio::test]
async fn nobody_waits_for_a_replica_that_hangs() {
    let (first, second) = (Process::start(), Process::start());
    let (mesh, wire, _watching) = client(&[first.address, second.address], true);
    for _ in 0..4 {
        get(wire.clone(), "hello").await.unwrap();
    }
    assert!(first.arrived() > 0 && second.arrived() > 0, "each in turn");
    let paused = first.pause();
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        calls.spawn(get(wire.clone(), "hello"));
    }
    while let Some(answer) = calls.join_next().await {
        answer.unwrap().expect("those it has taken are answered by the other");
    }
    let noticed = started.elapsed();
    assert!(noticed < NOTICED, "{noticed:?}");
    assert!(noticed > Duration::from_millis(500), "some had waited for it: {noticed:?}");

    let ill = format!(
        r#"grpc_client_replica_healthy{{service="user",address="http://{}"}} 0"#,
        first.address
    );
    assert!(metrics(&mesh).contains(&ill), "{ill}");
    for _ in 0..50 {
        let quick = timeout(SOON / 2, update(wire.clone(), "hello")).await;
        quick.expect("nobody waits").unwrap();
    }
    drop(paused);
    until("it is well again", async || !metrics(&mesh).contains(&ill)).await;
    first.arrived();
    until("it is used again", async || {
        update(wire.clone(), "hello").await.unwrap();
        first.arrived() > 0
    })
    .await;

    // The same without anybody who looks after the replicas: calls wait.
    let (_mesh, wire, _) = client(&[first.address, second.address], false);
    get(wire.clone(), "hello").await.unwrap();
    get(wire.clone(), "hello").await.unwrap();
    let _paused = first.pause();
    let context = Context::service("booking").within(Instant::now() + Duration::from_secs(1));
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        calls.spawn(get(wire.with(&context), "hello"));
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().any(Result::is_err), "one waited in vain");
}

#[tokio::test]
async fn what_was_never_sent_goes_elsewhere_and_what_was_sent_does_not() {
    let alive = Process::start();
    let (dead, nowhere) = listener().await;
    drop(dead);
    let (_mesh, wire, _) = client(&[nowhere, alive.address], false);
    for _ in 0..40 {
        update(wire.clone(), "hello").await.expect("nobody was there, so the other is asked");
    }
    assert_eq!(alive.arrived(), 40);

    let other = Process::start();
    let (_mesh, wire, _) = client(&[alive.address, other.address], false);
    for script in [&alive.script, &other.script] {
        *script.failure.lock().unwrap() = Some(Failure::unavailable("busy"));
        script.flaws.store(9, SeqCst);
    }
    update(wire.clone(), "flaky").await.unwrap_err();
    assert_eq!(alive.arrived() + other.arrived(), 1, "who knows what has become of it");
    get(wire.clone(), "flaky").await.unwrap_err();
    let (one, two) = (alive.arrived(), other.arrived());
    assert!(one + two == 3 && one > 0 && two > 0, "not the same again: {one} and {two}");
}

#[tokio::test]
async fn who_has_fewest_calls_under_way_is_asked() {
    let (busy, idle) = (Process::start(), Process::start());
    let (_mesh, wire, _) = client(&[busy.address, idle.address], false);
    let mut calls = JoinSet::new();
    while busy.arrived() == 0 {
        calls.abort_all();
        while calls.join_next().await.is_some() {}
        calls.spawn(get(wire.clone(), "wait"));
        tokio::select! {
            () = busy.script.entered.passed(1) => {}
            () = idle.script.entered.passed(1) => {}
        }
    }
    for _ in 0..20 {
        update(wire.clone(), "hello").await.unwrap();
    }
    assert_eq!(busy.arrived(), 0, "it has one more under way");
}

#[tokio::test]
async fn a_server_that_drains_gets_no_new_calls_and_finishes_those_it_has() {
    let (world, other) = (World::remote().await, Process::start());
    let leaving = world.address.unwrap();
    let (mesh, wire, _watching) = client(&[leaving, other.address], true);
    let well = async || {
        let health = mesh.health_of("user").await.into_iter();
        health.map(|(address, well)| (address, well.is_ok())).collect::<Vec<_>>()
    };
    let addresses = [leaving, other.address].map(|address| format!("http://{address}"));
    let [first, second] = addresses;
    assert_eq!(well().await, [(first.clone(), true), (second.clone(), true)]);
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        calls.spawn(get(wire.clone(), "wait"));
    }
    world.script.entered.passed(1).await;
    other.script.entered.passed(1).await;
    world.meshes[1].drain().await;
    assert_eq!(well().await, [(first, false), (second, true)]);
    until("its callers notice", async || {
        world.arrived();
        for _ in 0..20 {
            update(wire.clone(), "hello").await.unwrap();
        }
        world.arrived() == 0
    })
    .await;
    world.script.go_on.open();
    other.script.go_on.open();
    for answer in calls.join_all().await {
        assert_eq!(answer.unwrap().email, "wait");
    }
    update(world.wire.clone(), "hello").await.expect("who insists is answered");
}

#[tokio::test]
async fn a_host_name_stands_for_all_of_its_addresses() {
    let process = Process::start();
    let port = process.address.port();
    let address = format!("http://localhost:{port}");
    let remotes = [("user".to_owned(), vec![address.clone()])].into();
    let mesh = mesh(MeshSettings { remotes, ..settings(&[]) });
    let wire = mesh.wire("booking", "user").unwrap();
    update(wire.clone(), "hello").await.expect("also before it was looked up");

    let mut watching = JoinSet::new();
    watching.spawn(mesh.watch(CancellationToken::new()));
    let found = format!(r#"address="{address} 127.0.0.1:{port}"}} 1"#);
    until("it is looked up", async || metrics(&mesh).contains(&found)).await;
    assert!(!metrics(&mesh).contains(&format!("{address}\"")), "its addresses instead of it");
    for _ in 0..20 {
        update(wire.clone(), "hello").await.unwrap();
        yield_now().await;
    }
    assert_eq!(process.arrived(), 21);
}
