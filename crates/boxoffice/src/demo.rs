//! `boxoffice demo`: real journeys through a platform of its own, by its public interfaces; every
//! answer is checked, and the first surprise ends it.

mod buyer;
mod choice;
mod clean_up;
mod client;
mod door;
mod money;
mod queue;
mod race;
mod report;
mod seats;
mod stage;

use std::process::ExitCode;

pub use client::{Client, Surprise};
pub use report::Report;
pub use stage::Stage;

use crate::{Settings, Sources, StartError, topology::FACES};

/// Hold time in the demo, in seconds: long enough to pay, short enough to see one expire.
const HOLD_TTL_SECONDS: u64 = 10;

/// Starts a platform on free ports in a temporary directory, walks the journeys, and says how it
/// went: success only if each answer was the expected one.
///
/// # Errors
/// If the platform can't start.
pub async fn run(json: bool, values: &[(String, String)]) -> Result<ExitCode, StartError> {
    let directory =
        tempfile::tempdir().map_err(|error| StartError::state(&std::env::temp_dir(), &error))?;
    let settings = settings(directory.path(), values)?;
    platform::telemetry::start(&settings.log)
        .map_err(|detail| StartError::build("log.filter", detail))?;
    let mut report = Report::new(json);
    let running = crate::start(settings).await?;
    let stage = Stage::of(&running)?;
    report.note(&format!("a platform of its own is ready at {}", stage.gateway));

    let walked = walk(&stage, &mut report).await;
    running.stop().await;
    Ok(conclude(walked, &mut report))
}

/// Walks the journeys through the platform whose gateway is at `gateway`, and says how it went:
/// success only if each answer was the expected one.
pub async fn run_against(gateway: &str, json: bool) -> ExitCode {
    let mut report = Report::new(json);
    let walked = async {
        let stage = Stage::against(gateway).await?;
        report.note(&format!("walking through the platform at {}", stage.gateway));
        walk(&stage, &mut report).await
    };
    conclude(walked.await, &mut report)
}

fn conclude(walked: Result<(), Surprise>, report: &mut Report) -> ExitCode {
    match walked {
        Ok(()) => {
            report.finish();
            ExitCode::SUCCESS
        }
        Err(surprise) => {
            report.surprise(&surprise);
            ExitCode::FAILURE
        }
    }
}

/// Settings for a platform that is looked at and thrown away: free ports, and limits that let one
/// address play many buyers.
///
/// # Errors
/// If a value is wrong.
pub fn settings(
    directory: &std::path::Path,
    values: &[(String, String)],
) -> Result<Settings, StartError> {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut all = vec![
        set("boxoffice.state_directory", &directory.display().to_string()),
        set("booking.hold_ttl_seconds", &HOLD_TTL_SECONDS.to_string()),
        // 200 buyers sign up at once, for passwords that nobody will use again.
        set("auth.argon2_memory_kib", "1024"),
        set("auth.argon2_passes", "1"),
    ];
    all.extend(free_ports());
    all.extend(roomy_limits());
    all.extend_from_slice(values);
    Ok(Settings::load(&Sources { file: None, environment: false, values: all })?)
}

/// Port 0 for every face.
pub fn free_ports() -> Vec<(String, String)> {
    let pairs = FACES.iter().flat_map(|(name, faces)| {
        faces.iter().map(move |face| (format!("listen.{name}.{face}"), "0".to_owned()))
    });
    pairs.collect()
}

/// Walks all journeys.
///
/// # Errors
/// The first answer that was not the expected one.
pub async fn walk(stage: &Stage, report: &mut Report) -> Result<(), Surprise> {
    report.chapter("a buyer finds an account");
    let alice = buyer::sign_up(stage, report, "alice").await?;
    let bob = buyer::sign_up(stage, report, "bob").await?;

    report.chapter("a hold that nobody pays");
    let forgotten = seats::forget_a_hold(stage, report, &bob).await?;

    report.chapter("seats, payment, ticket, door");
    let sold = seats::buy_seats(stage, report, (&alice, &bob)).await?;
    door::enter_once(stage, report, &alice, &sold).await?;

    report.chapter("a declined card, then another");
    let second = money::declined_then_paid(stage, report, &alice).await?;

    report.chapter("a cancellation with refund");
    money::cancel_and_refund(stage, report, &alice, &second).await?;

    report.chapter("a free booking");
    money::book_for_free(stage, report, &bob).await?;

    report.chapter("an on-sale with a queue");
    queue::wait_and_book(stage, report, &alice).await?;

    report.chapter("200 buyers race for 50 seats");
    race::race(stage, report).await?;

    report.chapter("the forgotten hold has expired");
    clean_up::seats_come_back(stage, report, &bob, &forgotten).await
}

fn roomy_limits() -> Vec<(String, String)> {
    ["visitor_burst", "visitor_per_minute", "account_burst", "account_per_minute"]
        .into_iter()
        .chain(["sign_in_burst", "sign_in_per_minute"])
        .map(|key| (format!("gateway.{key}"), "100000".to_owned()))
        .collect()
}
