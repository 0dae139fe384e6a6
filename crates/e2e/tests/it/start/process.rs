//! The platform as a process: what it says, and how it ends.

use std::{process::Stdio, time::Duration};

use futures_util::StreamExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::system::{QUICK, Web};

/// How long a start may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// A stop with nothing under way is far from the ten seconds that are the limit.
const PROMPT: Duration = Duration::from_secs(5);

fn command(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    command.current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    for (key, value) in boxoffice::demo::free_ports().into_iter().chain(QUICK.iter().map(own)) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_is_and_stops_promptly_when_told() {
    let directory = TempDir::new().unwrap();
    let mut command = command(&directory);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        said.push(line.trim().to_owned());
        if said.last().unwrap() == "ctrl-c stops" {
            break;
        }
    }
    let all = said.join("\n");
    let word = |prefix: &str| {
        let line = said.iter().find_map(|line| line.strip_prefix(prefix));
        line.unwrap_or_else(|| panic!("{prefix:?} in {all}")).trim().to_owned()
    };
    assert!(all.starts_with("boxoffice is ready after "), "{all}");
    assert_eq!(
        word("state"),
        directory.path().join("data").canonicalize().unwrap().display().to_string()
    );
    for role in boxoffice::topology::ROLES {
        assert!(said.iter().any(|line| line.starts_with(role.name)), "{}: {all}", role.name);
    }
    let gateway = Web::new(word("start here").trim_end_matches('/'));
    let account = word("buyer");
    let (email, password) = account.split_once(' ').unwrap();
    let login = json!({"email": email, "password": password.trim()});
    let tokens = gateway.post("/api/v1/auth/login", &login).await.expect(200);
    let settings = gateway.get("/api/v1/settings").await.expect(200);
    let realtime = settings["realtime_url"].as_str().unwrap();
    let address = format!("{realtime}?token={}", tokens["access_token"].as_str().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await.unwrap();

    // With an idle connection of each kind.
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = timeout(PROMPT, child.wait()).await.expect("a prompt end").unwrap();
    assert_eq!(status.code(), Some(0));
    let told = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(PROMPT, told).await.expect("the socket is closed");
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).await.unwrap();
    assert_eq!(complaints, "", "a stop is nothing to complain about");
}

#[tokio::test]
async fn the_configuration_in_force_is_shown_without_secrets() {
    let directory = TempDir::new().unwrap();
    let secret = "5ec2e7".repeat(11);
    let mut command = command(&directory);
    command.arg("check-config").arg("--set").arg("booking.hold_ttl_seconds=61");
    command.arg("--set").arg(format!("boxoffice.secret={secret}"));
    command.arg("--set").arg("payment.stripe_secret_key=sk_live_swordfish");
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("hold_ttl_seconds = 61"), "{text}");
    assert!(!text.contains(&secret) && !text.contains("swordfish"), "{text}");
    assert_eq!(directory.path().read_dir().unwrap().count(), 0, "it starts nothing");
}
