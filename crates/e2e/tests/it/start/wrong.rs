//! What is wrong with a start is told in one clear line that names it, and nothing is left running.

use std::{fs, net::TcpListener, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::process::Command;

use crate::system::{System, try_start};

/// A wrong value, and what its error must name.
const VALUES: &[(&str, &str, &str)] = &[
    ("bookings.hold_ttl_seconds", "60", "bookings"),
    ("booking.hold_time", "60", "booking.hold_time"),
    ("booking", "60", "booking"),
    ("booking.hold_ttl_seconds", "soon", "booking.hold_ttl_seconds"),
    ("booking.hold_ttl_seconds", "-1", "booking.hold_ttl_seconds"),
    ("booking.hold_ttl_seconds", "1", "booking.hold_ttl_seconds"),
    ("auth.access_ttl_seconds", "1", "auth.access_ttl_seconds"),
    ("auth.argon2_memory_kib", "1", "auth.argon2_memory_kib"),
    ("gateway.visitor_burst", "0", "gateway.visitor_burst"),
    ("listen.gateway.http", "70000", "listen"),
    ("listen.door.http", "1", "door"),
    ("boxoffice.host", "no such host", "no such host"),
    ("boxoffice.database", "mysql://localhost", "boxoffice.database"),
    ("boxoffice.kv", "memcached://localhost", "boxoffice.kv"),
    ("boxoffice.bus", "kafka://", "boxoffice.bus"),
    ("boxoffice.roles", "[\"bookings\"]", "bookings"),
    ("boxoffice.roles", "[\"booking\", \"gateway\"]", "memory:"),
    ("boxoffice.secret", "secret", "boxoffice.secret"),
    ("log.filter", "booking=loud", "log.filter"),
    ("remotes.event", "[\"not an address\"]", "event"),
];

/// The error of a start with this value, once as a library and once as a process.
async fn refused(directory: &Path, key: &str, value: &str) -> [String; 2] {
    let library = match try_start(&directory.join("data"), &[(key, value)]).await {
        Err(error) => error.to_string(),
        // The host of the process starts logging, and not the library.
        Ok(running) if key == "log.filter" => {
            running.stop().await;
            key.to_owned()
        }
        Ok(_) => panic!("{key}={value} is taken"),
    };
    let mut arguments: Vec<String> = boxoffice::demo::free_ports()
        .into_iter()
        .flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")])
        .collect();
    arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
    [library, exits(directory, &arguments).await]
}

/// The one line that the process leaves on its standard error, with exit code 2.
async fn exits(directory: &Path, arguments: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with("boxoffice: ") && line.ends_with('\n'), "{line}");
    line.trim_end().to_owned()
}

fn is_one_line_that_names(line: &str, what: &str) {
    assert!(line.contains(what), "{what}: {line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_named_in_one_line() {
    let directory = TempDir::new().unwrap();
    for (key, value, named) in VALUES {
        for line in refused(directory.path(), key, value).await {
            is_one_line_that_names(&line, named);
        }
    }
}

#[tokio::test]
async fn a_wrong_file_command_or_variable_is_named_in_one_line() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    fs::write(path.join("broken.toml"), "[booking]\nhold_ttl_seconds = \n").unwrap();
    fs::write(path.join("unknown.toml"), "[booking]\nhold_time = 5\n").unwrap();
    let arguments = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
    for (line, named) in [
        ("--config missing.toml", "missing.toml"),
        ("--config broken.toml", "broken.toml: line 2"),
        ("--config unknown.toml", "booking.hold_time"),
        ("check-config --config unknown.toml", "booking.hold_time"),
        ("check-config --set booking.hold_time=5", "booking.hold_time"),
        ("serve bookings", "bookings"),
        ("serve booking gateway", "memory:"),
        ("demo --set booking.hold_time=5", "booking.hold_time"),
    ] {
        is_one_line_that_names(&exits(path, &arguments(line)).await, named);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    command.arg("check-config").env("BOXOFFICE__BOOKING__HOLD_TIME", "5").current_dir(path);
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8(output.stderr).unwrap();
    is_one_line_that_names(&line, "BOXOFFICE__BOOKING__HOLD_TIME");
    assert!(fs::read_dir(path).unwrap().count() == 2, "no state was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (key, service) in [("listen.gateway.http", "gateway"), ("listen.ticket.grpc", "ticket")] {
        for line in refused(directory.path(), key, &port).await {
            is_one_line_that_names(&line, &port);
            is_one_line_that_names(&line, service);
        }
    }
    // What was bound before it was found is let go, and the state directory too.
    try_start(&directory.path().join("data"), &[]).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_can_not_be_used_is_named() {
    let system = System::start(&[]).await;
    let used = system.running.state_directory().unwrap().display().to_string();
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let file = directory.path().join("file/data").display().to_string();
    let key = "boxoffice.state_directory";
    for (path, detail) in [(&used, "in use by another process"), (&file, "file/data")] {
        for line in refused(directory.path(), key, path).await {
            is_one_line_that_names(&line, path);
            is_one_line_that_names(&line, detail);
        }
    }
    system.visitor().get("/api/v1/events").await.expect(200);
    system.running.stop().await;
}
