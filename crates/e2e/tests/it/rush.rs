//! The rush through the binary: tiny sales in both shapes, whose reports must add up; and what it
//! says to parameters that make no sense.

use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::fleet;

const TINY: [&str; 8] =
    ["--buyers", "300", "--places", "100", "--window", "2", "--admissions-per-minute", "12000"];

async fn rush(directory: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    command.arg("rush").args(arguments).current_dir(directory).stdin(Stdio::null());
    command.kill_on_drop(true).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Plays a tiny sale; answers its report, which must be a good one.
async fn play(shape: &str) -> Value {
    let directory = TempDir::new().unwrap();
    let files = ["--json", "report.json", "--html", "report.html"];
    let arguments = [&TINY[..], &files, &["--shape", shape]].concat();
    let output = rush(&directory, &arguments).await;
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("exactly 100 sold, each once"), "{said}");
    assert!(said.contains("foreseen"), "a forecast beside it: {said}");
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("<polyline"));
    assert!(!page.contains("http://www") && !page.contains("<script"), "it needs nothing else");
    let report = std::fs::read_to_string(directory.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["sold"], &report["arrived"]), (&100.into(), &300.into()));
    assert_eq!(report["violations"], serde_json::json!([]));
    let ends = report["ends"].as_object().unwrap();
    assert_eq!(ends.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 300, "{ends:?}");
    assert!(!ends.contains_key("refused") && !ends.contains_key("turned_away"), "{ends:?}");
    let count = |step: &str| {
        let latencies = report["latencies"].as_array().unwrap().iter();
        let found = latencies.filter(|its| its["step"] == step);
        found.map(|its| its["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(count("join") >= 300 && count("turn") > 0 && count("browse") > 0, "{report}");
    // Standbys' bookings count as well, but their lives do not.
    let ticketed = report["bookings"]["ticketed"].as_u64().unwrap();
    assert_eq!(count("confirmation"), ticketed);
    let tickets = ends["ticketed"].as_u64().unwrap() + report["standbys"].as_u64().unwrap();
    assert_eq!(ticketed, tickets, "{report}");
    report
}

fn parts(report: &Value) -> Vec<&str> {
    let usage = report["usage"].as_array().unwrap().iter();
    let worked = usage.filter(|usage| usage["cpu_ms"].as_f64().unwrap() > 0.0);
    worked.map(|usage| usage["part"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_rush_sells_each_place_once_in_one_process() {
    let _turn = fleet::turn().await;
    let report = play("one").await;
    let parts = parts(&report);
    assert!(parts.contains(&"boxoffice") && parts.contains(&"the rush itself"), "{parts:?}");
    assert_eq!(report["wal"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_rush_sells_each_place_once_in_many_processes() {
    let _turn = fleet::turn().await;
    let report = play("distributed").await;
    let parts = parts(&report);
    for part in ["booking", "ticket", "gateway", "kafka", "postgres: booking_service"] {
        assert!(parts.contains(&part), "{part} is missing: {parts:?}");
    }
    assert!(report["wal"]["bytes"].as_u64().unwrap() > 0 && report["wal"]["syncs"] != 0);
}

#[tokio::test]
async fn a_plan_foresees_the_sale_and_advises_a_rate() {
    let directory = TempDir::new().unwrap();
    let output = rush(&directory, &[&TINY[..], &["--plan", "--json", "plan.json"]].concat()).await;
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("admissions a minute to choose: "), "{said}");
    let plan = std::fs::read_to_string(directory.path().join("plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert!(plan["forecast"]["sold"].as_u64().unwrap() <= 100);
    assert!(plan["trials"].as_array().unwrap().len() > 5);
}

#[tokio::test]
async fn what_makes_no_sense_is_one_line_and_exit_code_2() {
    let directory = TempDir::new().unwrap();
    let nobody = ["--against", "http://127.0.0.1:1"];
    for (arguments, told) in [
        (&["--buyers", "0"][..], "buyers is from 1"),
        (&["--polls", "-1"], "polls can't be -1"),
        (&["--curve", "sawtooth"], "no arrival curve"),
        (&["--shape", "cluster"], "no shape"),
        (&["--plan", "--costs", "missing.json"], "missing.json"),
        (&["--against", "127.0.0.1:3000"], "is no address"),
        (&nobody, "connecting"),
    ] {
        let output = rush(&directory, arguments).await;
        let complained = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complained}");
        assert!(complained.contains(told), "{arguments:?}: {complained}");
        assert_eq!(complained.trim_end().lines().count(), 1, "{arguments:?}: {complained}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    }
    assert_eq!(directory.path().read_dir().unwrap().count(), 0, "nothing is left behind");
}
