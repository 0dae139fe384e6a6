//! The demo as a test: its journeys through a platform in this process, and what it prints.

use std::process::{Output, Stdio};

use boxoffice::demo::{Report, Stage, walk};
use serde_json::Value;
use tokio::process::Command;

use crate::system::{QUICK, System};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_walks_without_a_surprise() {
    let system = System::start(&[]).await;
    let stage = Stage::of(&system.running).unwrap();
    let mut report = Report::new(true);
    walk(&stage, &mut report).await.unwrap();
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_walks_the_same_way_on_postgresql() {
    let system = System::start_on_postgres(&[]).await;
    let stage = Stage::of(&system.running).unwrap();
    walk(&stage, &mut Report::new(true)).await.unwrap();
    system.running.stop().await;
}

async fn demo(values: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    command.args(["demo", "--json"]).current_dir(&directory).stdin(Stdio::null());
    for (key, value) in QUICK.iter().chain(values) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let output = command.kill_on_drop(true).output().await.unwrap();
    let left = directory.path().read_dir().unwrap().count();
    assert_eq!(left, 0, "it leaves nothing where it is called");
    output
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(line).collect()
}

#[tokio::test]
async fn the_demo_tells_each_step_as_json() {
    let output = demo(&[]).await;
    let lines = lines(&output);
    let (last, steps) = lines.split_last().unwrap();
    assert!(output.status.success() && last["done"] == true, "{last}: {output:?}");
    assert_eq!(last["steps"], steps.len());
    assert!(last["seconds"].is_number(), "{last}");
    for (at, step) in steps.iter().enumerate() {
        assert_eq!(step["step"], at + 1, "{step}");
        assert!(step["ms"].is_number() && !step["text"].as_str().unwrap().is_empty(), "{step}");
    }
}

#[tokio::test]
async fn the_first_surprise_ends_the_demo_and_is_told() {
    let output = demo(&[("gateway.sign_in_burst", "3"), ("gateway.sign_in_per_minute", "1")]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines = lines(&output);
    let last = lines.last().unwrap();
    assert_eq!(last["done"], false, "{last}");
    let surprise = last["surprise"].as_str().unwrap();
    assert!(surprise.contains("RATE_LIMITED"), "{surprise}");
}
