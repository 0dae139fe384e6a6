//! What holds whichever way a call goes.

use std::time::Duration;

use kernel::{Caller, Code, Failure, Role};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, timeout},
};
use wire::Context;

use crate::world::{SOON, World, get};

const UUID: &str = "018f0000-0000-7000-8000-000000000001";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn buyer() -> Caller {
    Caller::Account {
        id: UUID.parse().unwrap(),
        role: Role::Individual,
        organization: None,
        session: Some(UUID.parse().unwrap()),
    }
}

#[tokio::test]
async fn the_context_arrives_as_it_was_sent() {
    for world in World::all().await {
        let name = world.name;
        let deadline = Instant::now() + SOON / 2;
        let sent = Context::new(buyer(), "req-1").traced(TRACEPARENT).within(deadline);
        let answer = get(world.wire.with(&sent), "hello").await.unwrap();
        assert_eq!(answer.email, "hello", "{name}");
        let seen = world.seen();
        assert_eq!(seen.caller, buyer(), "{name}");
        assert_eq!(&*seen.correlation_id, "req-1", "{name}");
        assert_eq!(seen.traceparent.as_deref(), Some(TRACEPARENT), "{name}");
        let late = seen.deadline.expect("a deadline").saturating_duration_since(deadline);
        assert!(late < Duration::from_secs(1), "{name}: {late:?}");

        world.get("again").await.unwrap();
        let seen = world.seen();
        assert_eq!(seen.caller, Caller::Service("booking".into()), "{name}: speaks for itself");
        assert!(seen.deadline.is_some(), "{name}: a call has a deadline in any case");
        world.get("again").await.unwrap();
        let other = world.seen().correlation_id;
        assert!(!other.is_empty() && other != seen.correlation_id, "{name}: one for each call");

        let nobody = Context::new(Caller::Anonymous, "");
        get(world.wire.with(&nobody), "hello").await.unwrap();
        assert_eq!(world.seen().caller, Caller::Anonymous, "{name}");
    }
}

#[tokio::test]
async fn every_failure_arrives_with_its_details() {
    use Code::{
        Conflict, Deadline, Exhausted, Forbidden, Internal, Invalid, NotFound, Stale,
        Unauthenticated, Unavailable,
    };
    let codes = [Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Stale, Exhausted];
    for world in World::all().await {
        let name = world.name;
        for code in codes.into_iter().chain([Unavailable, Deadline]) {
            let failure = Failure::new(code, "SOLD_OUT", "nö, not: any\nmore")
                .with("free", "A-1 ".repeat(5_000))
                .retry_after(1_500);
            let failure = Failure { fields: Failure::invalid("seats[2]", "no").fields, ..failure };
            world.answers(failure.clone(), 0);
            let status = world.update("fail").await.unwrap_err();
            assert_eq!(wire::failure(&status), failure, "{name}");
        }
        world.answers(Failure::internal("the password is swordfish"), 0);
        let status = world.update("fail").await.unwrap_err();
        assert_eq!(wire::failure(&status).code, Internal, "{name}");
        assert!(!format!("{status:?}").contains("swordfish"), "{name}: {status:?}");
    }
}

#[tokio::test]
async fn a_deadline_ends_the_call_at_both_ends() {
    for world in World::all().await {
        let name = world.name;
        let started = Instant::now();
        let context = Context::new(buyer(), "").within(started + Duration::from_millis(50));
        let answer = timeout(SOON, get(world.wire.with(&context), "hang")).await;
        let status = answer.expect("it ends").unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{name}: {status:?}");
        assert_eq!(wire::failure(&status).code, Code::Deadline, "{name}");
        assert!(started.elapsed() >= Duration::from_millis(50), "{name}");
        assert!(started.elapsed() < SOON / 2, "{name}: {:?}", started.elapsed());
        world.script.left.passed(1).await;
        assert_eq!(world.arrived(), 1, "{name}: there was no time for another attempt");

        let status = get(world.wire.with(&context), "hello").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{name}");
        assert_eq!(world.arrived(), 0, "{name}: what is too late is not sent");
    }
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_caller_leaves() {
    for world in World::all().await {
        let wire = world.wire.clone();
        let mut call = Box::pin(get(wire, "hang"));
        let begun = world.script.entered.passed(1);
        tokio::select! {
            answer = &mut call => panic!("{}: {answer:?}", world.name),
            () = begun => {}
        }
        drop(call);
        world.script.left.passed(1).await;
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_failure_and_the_server_lives() {
    for world in World::all().await {
        let name = world.name;
        let status = world.update("panic").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal, "{name}");
        assert!(!format!("{status:?}").contains("as told"), "{name}: {status:?}");
        world.update("hello").await.expect(name);
    }
}

#[tokio::test]
async fn only_what_is_idempotent_and_failed_for_now_is_tried_again() {
    for world in World::all().await {
        let name = world.name;
        for failure in [Failure::unavailable("busy"), Failure::new(Code::Deadline, "LATE", "late")]
        {
            world.answers(failure, 2);
            world.get("flaky").await.expect(name);
            assert_eq!(world.arrived(), 3, "{name}");
        }
        world.answers(Failure::unavailable("busy"), 9);
        world.get("flaky").await.unwrap_err();
        assert_eq!(world.arrived(), 3, "{name}: a limit");
        world.update("flaky").await.unwrap_err();
        assert_eq!(world.arrived(), 1, "{name}: an effect may not be had twice");

        for failure in [Failure::internal("bug"), Failure::not_found("profile")] {
            world.answers(failure, 1);
            world.get("flaky").await.unwrap_err();
            assert_eq!(world.arrived(), 1, "{name}: it would fail again");
        }
        let long = SOON.as_millis().try_into().unwrap();
        world.answers(Failure::unavailable("busy").retry_after(long), 1);
        world.get("flaky").await.unwrap_err();
        assert_eq!(world.arrived(), 1, "{name}: asked to come back when it is too late");
    }
}

#[tokio::test]
async fn the_breaker_opens_and_recovers() {
    for world in World::all().await {
        let name = world.name;
        world.answers(Failure::unavailable("down"), u32::MAX);
        let opened = async {
            loop {
                let failure = wire::failure(&world.update("flaky").await.unwrap_err());
                if failure.reason == "CIRCUIT_OPEN" {
                    break failure;
                }
                yield_now().await;
            }
        };
        let failure = timeout(SOON, opened).await.expect("it opens");
        assert_eq!(failure.code, Code::Unavailable, "{name}");
        assert!(failure.retry_after_ms.is_some(), "{name}");
        assert_eq!(world.arrived(), 8, "{name}: no further call gets through");
        let metrics = metrics(&world, 0);
        assert!(metrics.contains("grpc_client_breaker_state"), "{metrics}");
        assert!(metrics.lines().any(|line| line.ends_with("} 2")), "{name}: open: {metrics}");

        world.answers(Failure::unavailable("down"), 0);
        let recovered = async {
            while world.update("flaky").await.is_err() {
                yield_now().await;
            }
        };
        timeout(SOON, recovered).await.expect("it recovers");
        assert_eq!(world.arrived(), 1, "{name}: the probe closed it");
        world.get("hello").await.expect(name);
    }
}

#[tokio::test]
async fn an_overload_opens_no_breaker_and_is_not_added_to() {
    for world in World::all().await {
        let name = world.name;
        world.answers(Failure::overloaded("no room"), u32::MAX);
        for _ in 0..20 {
            let failure = wire::failure(&world.update("flaky").await.unwrap_err());
            assert_eq!(failure.reason, "OVERLOADED", "{name}");
        }
        assert_eq!(world.arrived(), 20, "{name}: every call is let through");
        world.get("flaky").await.unwrap_err();
        assert_eq!(world.arrived(), 1, "{name}: not once more where there is no room");
    }
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused_at_once() {
    for world in [World::at_hand(), World::local()] {
        let mut calls = JoinSet::new();
        for _ in 0..4_096 {
            calls.spawn(get(world.wire.clone(), "hang"));
        }
        world.script.entered.passed(4_096).await;
        let status = world.update("hello").await.unwrap_err();
        assert_eq!(wire::failure(&status).reason, "OVERLOADED");
        calls.abort_all();
        world.script.left.passed(4_096).await;
        world.update("hello").await.expect("room again");
    }
}

#[tokio::test]
async fn only_a_message_that_is_sent_can_be_too_long() {
    for world in World::all().await {
        let act = "x".repeat(5 << 20);
        let called = world.get(&act).await.map(|profile| profile.email.len());
        match (world.name, called) {
            ("at hand", called) => assert_eq!(called.expect("it is handed over"), act.len()),
            (name, called) => {
                let code = called.expect_err(name).code();
                assert_eq!((code, world.arrived()), (tonic::Code::OutOfRange, 0), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn calls_are_counted_on_both_sides_by_their_code() {
    for world in World::all().await {
        world.get("hello").await.unwrap();
        world.answers(Failure::not_found("profile"), 0);
        world.get("fail").await.unwrap_err();
        timeout(Duration::from_millis(1), world.get("hang")).await.unwrap_err();
        for (side, mesh) in [("client", 0), ("server", 1)] {
            let metrics = metrics(&world, mesh);
            for code in ["OK", "NOT_FOUND"] {
                let labels = format!(r#"{{service="user",method="GetProfile",code="{code}"}} 1"#);
                let line = format!("grpc_{side}_handled_total{labels}");
                assert!(metrics.contains(&line), "{}: {line}: {metrics}", world.name);
            }
            assert!(metrics.contains(&format!("grpc_{side}_handling_seconds_count")), "{metrics}");
        }
        assert!(metrics(&world, 0).contains(r#"code="CANCELLED"} 1"#), "the caller left");
    }
}

fn metrics(world: &World, mesh: usize) -> String {
    let mut registry = Registry::default();
    world.meshes[mesh].register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}
