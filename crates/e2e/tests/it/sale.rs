//! A sale that is watched: clients that note what they are told, what the stores say, and the audit
//! of both. Used by all that is done to a platform while it sells.

pub(crate) mod journal;
pub(crate) mod load;
mod log;
pub(crate) mod plants;
pub(crate) mod stage;
pub(crate) mod stores;
pub(crate) mod web;

use std::time::Duration;

use ::audit::{Options, Report};
use tokio::time::{Instant, sleep};

use self::{journal::Entries, stage::Stage, stores::Stores};

/// Limits that let one address be many buyers, who think of passwords that nobody uses again.
pub(crate) const ROOMY: &[(&str, &str)] = &[
    ("auth.argon2_memory_kib", "64"),
    ("auth.argon2_passes", "1"),
    ("gateway.visitor_burst", "100000"),
    ("gateway.visitor_per_minute", "100000"),
    ("gateway.account_burst", "100000"),
    ("gateway.account_per_minute", "100000"),
    ("gateway.sign_in_burst", "100000"),
    ("gateway.sign_in_per_minute", "100000"),
    ("booking.hold_ttl_seconds", "10"),
    ("log.filter", "error"),
];

/// What makes a platform forgetful enough for a test: short leases and timeouts.
pub(crate) const FORGETFUL: &[(&str, &str)] = &[
    ("booking.call_timeout_seconds", "2"),
    ("booking.lease_seconds", "8"),
    ("booking.wait_seconds", "1"),
    ("booking.resume_period_ms", "100"),
    ("booking.retry_first_ms", "50"),
    ("booking.retry_limit_seconds", "1"),
    ("ticket.expiry_period_ms", "200"),
    ("payment.lease_seconds", "2"),
    ("payment.reconcile_after_seconds", "3"),
    ("payment.reconcile_at_most_seconds", "6"),
    ("payment.due_period_ms", "200"),
    ("email-worker.lease_seconds", "5"),
    ("booking-worker.booking_timeout_seconds", "2"),
    ("booking-worker.lease_seconds", "5"),
];

/// What is put on sale beside the stage.
const DEMO_EVENTS: usize = 3;
const POLL: Duration = Duration::from_millis(300);

/// Waits until nothing is left undone, or the time for it is over: the audit says what is left.
pub(crate) async fn come_to_rest(stores: &Stores, patience: Duration) {
    let give_up = Instant::now() + patience;
    while !::audit::unsettled(&stores.audited()).await.unwrap().is_empty() {
        if Instant::now() > give_up {
            return;
        }
        sleep(POLL).await;
    }
}

/// What the audit says of everything, with what clients were told. Nobody may be at work.
pub(crate) async fn audit(stores: &Stores, entries: &Entries) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let journal = Some(entries.write(directory.path()));
    // At rest everything is judged, and nothing has to be late to be wrong.
    let options = Options { journal, quiet: Duration::ZERO, ..Options::default() };
    ::audit::run(&stores.audited(), &options).await.unwrap_or_else(|error| panic!("{error}"))
}

/// All that is wrong once everything should have come to rest.
pub(crate) fn words(report: &Report) -> Vec<String> {
    let unsettled = report.unsettled.findings.iter().map(|found| format!("unsettled: {found}"));
    [report.words(), unsettled.collect()].concat()
}

/// All that breaks a rule, and events that are not on sale as the stage was set.
pub(crate) fn violations(report: &Report, entries: &Entries, stage: &Stage) -> Vec<String> {
    let mut violations = [entries.wrong(), words(report)].concat();
    let (found, events) =
        (report.count("events on sale"), stage.halls.len() + stage.queues.len() + DEMO_EVENTS);
    if found != events as i64 {
        violations.push(format!("{found} events are on sale, not {events}"));
    }
    violations
}

/// Tells how much happened.
pub(crate) fn report(report: &Report, entries: &Entries, took: Duration) {
    let counts = report.looked_at.iter().map(|(name, count)| format!("{count} {name}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    println!("{} bookings asked for in {took:?}: {counts}", entries.wishes.len());
}
